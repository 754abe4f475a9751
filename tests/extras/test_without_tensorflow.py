"""The installed package, where there is no TensorFlow.

`make test-no-tensorflow` installs it so, from its wheel.
"""

import contextlib
import importlib.metadata
import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

if importlib.util.find_spec("tensorflow") is not None:
    pytest.skip("TensorFlow is installed", allow_module_level=True)

import keras_fast
from keras_fast import data, inference, models
from keras_fast.callbacks import OneCycle, Recorder

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 255, (8, 32, 32, 3)).astype("float32")
Y = np.arange(8) % 2


@pytest.fixture(scope="module")
def network():
    """A base of one convolution."""
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="relu", name="maps"),
        ]
    )


@pytest.fixture(scope="module")
def model(network):
    model = models.image_classifier(network, 2, input_shape=(32, 32, 3))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_the_package_is_the_installed_one():
    checkout = Path(__file__).parents[2]
    assert not Path(keras_fast.__file__).is_relative_to(checkout / "keras_fast")
    assert keras_fast.__version__ == importlib.metadata.version("keras-fast")


def test_a_training(model):
    before = model.get_weights()
    found = keras_fast.lr_find(model, X, Y, batch_size=4, num_steps=10)
    assert len(found.losses)
    for each, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(each, kept)
    recorder, cycle = Recorder(), OneCycle(0.01)
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[cycle, recorder])
    np.testing.assert_allclose(
        recorder.learning_rates, cycle.curve(2)["learning_rate"], rtol=1e-6
    )
    history = keras_fast.fine_tune(model, X, Y, epochs=1, head_epochs=1)
    assert np.isfinite(history.history["loss"]).all()


def test_what_a_model_says(model):
    augment = data.AugTransforms(seed=0)
    predicted = keras_fast.predict_tta(model, X, augment, num_augmented=1)
    np.testing.assert_allclose(predicted.sum(-1), 1, 1e-5)
    worst = inference.top_losses(model, X, Y, k=3)
    assert (np.diff(worst.losses) <= 0).all()
    assert inference.grad_cam(model, X[:2]).heatmaps.shape[0] == 2


def test_features_are_kept(network, tmp_path):
    pooled = keras.Sequential([network, keras.layers.GlobalAveragePooling2D()])
    cache = keras_fast.cache_features(pooled, X, Y, directory=tmp_path)
    features, labels = cache.arrays()
    np.testing.assert_allclose(features, pooled.predict(X, verbose=0), 1e-5)
    np.testing.assert_array_equal(labels, Y)


def test_bad_images_are_those_that_pillow_can_not_load(tmp_path):
    image = Image.fromarray(X[0].astype("uint8"))
    bad = {"empty.png", "text.jpg"}
    for name in bad:
        (tmp_path / name).write_bytes(b"no image" * name.startswith("text"))
    for kind in ("bmp", "gif", "jpg", "png"):
        image.save(tmp_path / f"good.{kind}")
        content = (tmp_path / f"good.{kind}").read_bytes()
        (tmp_path / f"cut.{kind}").write_bytes(content[: len(content) // 2])
        bad.add(f"cut.{kind}")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg")
    found = data.verify_images(tmp_path)
    assert {path.name for path in found} == bad
    assert all(found.values())
    for path in tmp_path.iterdir():
        raises = pytest.raises(Exception, match=r".") if path in found else None
        with raises or contextlib.nullcontext():
            # `load_img` only opens what is RGB already.
            keras.utils.img_to_array(keras.utils.load_img(path))


def test_images_as_in_training_need_it(tmp_path):
    with pytest.raises(ImportError) as caught:
        data.load_images([tmp_path / "nowhere.png"], 32)
    assert str(caught.value) == (
        "TensorFlow must be installed: Keras's loader decodes and resizes "
        "with it, on every backend. Run `pip install tensorflow`, or train and "
        "predict with what `keras.utils.load_img` loads. Received: no module "
        "named 'tensorflow'"
    )
