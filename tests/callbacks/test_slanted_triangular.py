import numpy as np

from keras_fast.callbacks import SlantedTriangular


def test_values():
    # ULMFiT, equation 3: p rises to 1 at the cut and falls again.
    k = np.arange(20)
    p = np.where(k < 5, k / 5, 1 - (k - 5) / 15)
    scheduler = SlantedTriangular(0.32, cut_frac=0.25, ratio=8)
    np.testing.assert_allclose(
        scheduler.curve(20)["learning_rate"], 0.32 * (1 + p * 7) / 8
    )
