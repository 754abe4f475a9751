"""What builders of classifiers refuse, word for word."""

import keras
import pytest
from classifiers import backbone

from keras_fast.models import image_classifier

FAULTS = {
    "name": (
        ("MobileNetV9", 3),
        {},
        ValueError,
        "`backbone` must be the name of a keras.applications network or a "
        "Keras model. Check its spelling: 'EfficientNetV2B0', for one. "
        "Received: backbone='MobileNetV9'",
    ),
    "function": (
        ("preprocess_input", 3),
        {},
        ValueError,
        "`backbone` must be the name of a keras.applications network or a "
        "Keras model. Check its spelling: 'EfficientNetV2B0', for one. "
        "Received: backbone='preprocess_input'",
    ),
    "backbone": (
        (3, 3),
        {},
        TypeError,
        "`backbone` must be the name of a keras.applications network or a "
        "Keras model. Pass 'EfficientNetV2B0', for one. Received: backbone=3",
    ),
    "not built": (
        (keras.Sequential([keras.layers.Conv2D(3, 3)], name="open"), 3),
        {},
        ValueError,
        "`backbone` must be a functional model, or a Sequential one that is "
        "built. Give it an Input. Received: backbone=open (Sequential)",
    ),
    "pooled": (
        (
            keras.Sequential(
                [keras.Input((8, 8, 3)), keras.layers.Flatten()], name="flat"
            ),
            3,
        ),
        {},
        ValueError,
        "`backbone` must map images to feature maps, both (batch, height, "
        "width, channels). Build it with include_top=False and pooling=None. "
        "Received: backbone=flat from [(None, 8, 8, 3)] to [(None, 192)]",
    ),
    "no class": (
        (backbone(), 0),
        {},
        ValueError,
        "`num_classes` must be a whole number of at least 1. Pass an int of 1 "
        "or more. Received: num_classes=0",
    ),
    "one class": (
        (backbone(), 1),
        {},
        ValueError,
        "`num_classes` must be at least 2 with softmax, which gives one class "
        "always 1. Pass 2, or activation='sigmoid'. Received: num_classes=1",
    ),
    "activation": (
        (backbone(), 3),
        {"activation": "relu"},
        ValueError,
        "`activation` must be 'softmax', 'sigmoid' or None. Pass 'sigmoid' "
        "for several classes at once, None for logits. "
        "Received: activation='relu'",
    ),
    "dropout": (
        (backbone(), 3),
        {"dropout": 1.0},
        ValueError,
        "`dropout` must be a number of at least 0 and below 1. Pass one such "
        "as 0.5. Received: dropout=1.0",
    ),
    "head_units": (
        (backbone(), 3),
        {"head_units": 0},
        ValueError,
        "`head_units` must be a whole number of at least 1. Pass an int of 1 "
        "or more. Received: head_units=0",
    ),
    "shape": (
        (backbone(), 3),
        {"input_shape": (224, 224)},
        ValueError,
        "`input_shape` must be height, width and channels. Pass a tuple such "
        "as (224, 224, 3), or (None, None, 3) for any size. "
        "Received: input_shape=(224, 224)",
    ),
    "small": (
        (backbone(), 3),
        {"input_shape": (6, 32, 3)},
        ValueError,
        "`input_shape` must be large enough for the backbone to leave a "
        "feature. Pass larger images. "
        "Received: input_shape=(6, 32, 3), backbone=small",
    ),
    "channels": (
        (backbone(channels=1), 3),
        {},
        ValueError,
        "`input_shape` must have as many channels as the backbone, 1: only a "
        "backbone for 3 is adapted. Pass that many. Received: channels=3",
    ),
    "no first kernel": (
        (
            keras.Sequential(
                [
                    keras.Input((32, 32, 3)),
                    keras.layers.DepthwiseConv2D(3),
                    keras.layers.Conv2D(2, 1),
                ],
                name="depthwise",
            ),
            3,
        ),
        {"input_shape": (32, 32, 4)},
        ValueError,
        "`backbone` must begin with one convolution to be adapted to another "
        "number of channels. Pass images with 3. "
        "Received: backbone=depthwise, channels=4",
    ),
    "weights": (
        (backbone(), 3),
        {"weights": "imagenet21k"},
        ValueError,
        "`weights` must be 'imagenet', None or the path of a file. There is "
        "no such file. Received: weights='imagenet21k'",
    ),
    "weights' kind": (
        (backbone(), 3),
        {"weights": 3},
        TypeError,
        "`weights` must be 'imagenet', None or the path of a file. Pass one "
        "of these. Received: weights=3",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_arguments(fault):
    (base, num_classes), arguments, kind, message = FAULTS[fault]
    arguments = {"weights": None, **arguments}
    with pytest.raises(kind) as error:
        image_classifier(base, num_classes, **arguments)
    assert str(error.value) == message


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError) as error:
            image_classifier("MobileNetV2", 3, weights=None)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert str(error.value) == (
        "Keras must be set to channels last. Call "
        "`keras.config.set_image_data_format('channels_last')`. "
        "Received: image_data_format='channels_first'"
    )
