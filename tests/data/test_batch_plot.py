"""Does each image stand under its own label?"""

import keras
import numpy as np
import pytest
from helpers import BACKEND

from keras_fast.data import show_batch

NAMES = ["cat", "dog", "fox"]
X = np.random.default_rng(0).integers(0, 256, (7, 6, 5, 3), np.uint8)
Y = np.arange(7) % 3


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return X[2 * i : 2 * i + 2], Y[2 * i : 2 * i + 2]


def tf_data(*columns):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(columns).batch(2)


def loader():
    import torch

    columns = (torch.as_tensor(X), torch.as_tensor(Y))
    data = torch.utils.data.TensorDataset(*columns)
    return torch.utils.data.DataLoader(data, batch_size=2)


FORMS = {
    "arrays": lambda: (X, Y),
    "one-hot": lambda: (X, np.eye(3)[Y]),
    "tensors": lambda: (keras.ops.convert_to_tensor(X), Y),
    "a dict": lambda: ({"age": np.ones(7), "image": X}, Y),
    "tf.data": lambda: (tf_data(X, Y),),
    "endless": lambda: (tf_data(X, Y).repeat(),),
    "PyDataset": lambda: (Batches(),),
    "generator": lambda: ((Batches()[i] for i in range(4)),),
}

if BACKEND == "torch":
    FORMS["DataLoader"] = lambda: (loader(),)


@pytest.mark.parametrize("form", FORMS)
def test_each_image_stands_under_its_label(form):
    axes = show_batch(*FORMS[form](), n=5, class_names=NAMES)
    assert [ax.get_title() for ax in axes] == [NAMES[i] for i in Y[:5]]
    for ax, image in zip(axes, X[:5], strict=True):
        (shown,) = ax.get_images()
        np.testing.assert_allclose(shown.get_array(), image / 255, atol=1e-6)


def test_fewer_images_without_names():
    assert [ax.get_title() for ax in show_batch(X[:2], Y[:2])] == ["0", "1"]
    assert [ax.get_title() for ax in show_batch(X)] == [""] * 7
    flags = np.array([[1, 0, 1], [0, 0, 0]])
    several = show_batch(X[:2], flags, class_names=NAMES)
    assert [ax.get_title() for ax in several] == ["cat, fox", "none"]


def test_names_come_with_the_data():
    data = tf_data(X, Y)
    data.class_names = NAMES
    assert show_batch(data, n=2)[1].get_title() == "dog"


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="`n` must be a whole number"):
        show_batch(X, n=0)
    with pytest.raises(ValueError, match="The inputs must be images"):
        show_batch(np.ones((4, 3)))
    with pytest.raises(ValueError, match="`x` must have at least one batch"):
        show_batch(X[:0], Y[:0])
