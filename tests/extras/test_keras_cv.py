"""Backbones of KerasCV under `image_classifier`; `make test-extras`."""

import pytest

pytest.importorskip("keras_cv")

from backbones import check_classifier, check_other_channels
from keras_cv import models

# Long, and only where the library is installed.
pytestmark = pytest.mark.stress

STAGES = {
    "stackwise_kernel_sizes": [3, 3],
    "stackwise_num_repeats": [1, 1],
    "stackwise_input_filters": [32, 8],
    "stackwise_output_filters": [8, 16],
    "stackwise_expansion_ratios": [1, 4],
    "stackwise_strides": [1, 2],
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
}
EXCITED = {**STAGES, "stackwise_squeeze_and_excite_ratios": [0.25, 0.25]}
BACKBONES = {
    "CSPDarkNetBackbone": {
        "stackwise_channels": [8, 8, 8, 8],
        "stackwise_depth": [1, 1, 1, 1],
    },
    "DenseNetBackbone": {"stackwise_num_repeats": [1, 1], "growth_rate": 4},
    "EfficientNetLiteBackbone": STAGES,
    "EfficientNetV1Backbone": EXCITED,
    "EfficientNetV2Backbone": {
        **EXCITED,
        "stackwise_conv_types": ["fused", "unfused"],
    },
    "MobileNetV3Backbone": {
        "stackwise_expansion": [1, 4],
        "stackwise_filters": [8, 8],
        "stackwise_kernel_size": [3, 3],
        "stackwise_stride": [2, 1],
        "stackwise_se_ratio": [0.25, None],
        "stackwise_activation": ["relu", "hard_swish"],
    },
    "ResNetBackbone": {
        "stackwise_filters": [8, 8],
        "stackwise_blocks": [1, 1],
        "stackwise_strides": [1, 2],
    },
    "VGG16Backbone": {"include_top": False, "input_shape": (32, 32, 3)},
    "ViTDetBackbone": {
        "input_shape": (32, 32, 3),
        "patch_size": 4,
        "embed_dim": 8,
        "depth": 1,
        "mlp_dim": 8,
        "num_heads": 2,
        "out_chans": 4,
        "window_size": 2,
        "global_attention_indices": [0],
    },
    "YOLOV8Backbone": {
        "stackwise_channels": [8, 8, 8, 8],
        "stackwise_depth": [1, 1, 1, 1],
    },
}


# A copy of these can't be made: of a Lambda layer, of constants for RGB.
RGB_ALONE = {"CSPDarkNetBackbone", "ViTDetBackbone"}


def build(name):
    return getattr(models, name)(include_rescaling=True, **BACKBONES[name])


@pytest.mark.parametrize("name", BACKBONES)
def test_classifies_images(name, tmp_path):
    # Its embedding of positions is of one size.
    sizes = (32,) if name == "ViTDetBackbone" else (32, 64)
    check_classifier(build(name), tmp_path, sizes)


@pytest.mark.parametrize("name", sorted({*BACKBONES} - RGB_ALONE))
def test_other_channels(name):
    check_other_channels(build(name))
