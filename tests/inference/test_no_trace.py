"""Does looking at a model change it?"""

import functools

import keras
import numpy as np
import pytest
from helpers import digest
from subjects import cnn, images, tf_data

from keras_fast.inference import confusion_matrix, grad_cam, top_losses

CALLS = {
    "top_losses": lambda model, x, y: top_losses(model, x, y),
    "top_losses of data": lambda model, x, y: top_losses(model, tf_data(x, y)),
    "confusion_matrix": lambda model, x, y: confusion_matrix(model, x, y),
    "grad_cam": lambda model, x, y: grad_cam(model, x),
    "grad_cam, refused": lambda model, x, y: refused(model, x),
}
RUN = ("loss", "optimizer", "_compile_loss", "_compile_metrics")


def refused(model, x):
    for wrong in ({"class_index": 9}, {"layer": "scores"}):
        with pytest.raises(ValueError, match="Received"):
            grad_cam(model, x, **wrong)


def everything(model):
    """All numbers, and the objects and plain attributes of every layer."""
    metrics = [np.array(v.numpy()).tolist() for v in model.metrics_variables]
    attributes = [
        {name: id(value) for name, value in layer.__dict__.items()}
        for layer in model.layers
    ]
    run = [id(getattr(model, name)) for name in (*RUN, "train_function")]
    return digest(model), metrics, attributes, run


@functools.cache
def trained(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = cnn()
    finally:
        keras.config.set_dtype_policy("float32")
    x, y = images()
    model.fit(x, y, verbose=0)
    model.predict(x, verbose=0)
    return model


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_nothing_changes(call, policy):
    model = trained(policy)
    before = everything(model)
    CALLS[call](model, *images())
    assert everything(model) == before


def test_training_goes_on_as_if_nothing_had_been():
    x, y = images()
    ends = []
    for look in (False, True):
        keras.utils.set_random_seed(0)
        model = cnn()
        model.fit(x, y, verbose=0, shuffle=False)
        for call in CALLS.values() if look else ():
            call(model, x, y)
        model.fit(x, y, verbose=0, shuffle=False)
        ends.append(digest(model))
    assert ends[0] == ends[1]
