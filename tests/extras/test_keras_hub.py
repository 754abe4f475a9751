"""Backbones of KerasHub under `image_classifier`; `make test-extras`."""

import pytest

pytest.importorskip("keras_hub")

import keras_hub
from backbones import check_classifier, check_other_channels, check_unet

# Long, and only where the library is installed.
pytestmark = pytest.mark.stress

INVERTED = {
    "stackwise_expansion": [[40, 56]],
    "stackwise_num_blocks": [2],
    "stackwise_num_filters": [[16, 16]],
    "stackwise_kernel_size": [[3, 3]],
    "stackwise_num_strides": [[2, 1]],
    "stackwise_se_ratio": [[None, 0.25]],
    "stackwise_activation": [["relu", "hard_swish"]],
    "stackwise_padding": [[1, 1]],
    "output_num_filters": 24,
    "depthwise_filters": 8,
    "depthwise_stride": 2,
    "depthwise_residual": False,
    "last_layer_filter": 24,
}
BACKBONES = {
    "ResNetBackbone": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 64],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_strides": [1, 2],
        "block_type": "basic_block",
    },
    "DenseNetBackbone": {"stackwise_num_repeats": [1, 1], "growth_rate": 4},
    "EfficientNetBackbone": {
        "stackwise_width_coefficients": [1.0, 1.0],
        "stackwise_depth_coefficients": [1.0, 1.0],
        "stackwise_kernel_sizes": [3, 3],
        "stackwise_num_repeats": [1, 1],
        "stackwise_input_filters": [8, 8],
        "stackwise_output_filters": [8, 16],
        "stackwise_expansion_ratios": [1, 4],
        "stackwise_squeeze_and_excite_ratios": [0.0, 0.25],
        "stackwise_strides": [1, 2],
        "stackwise_block_types": ["fused", "unfused"],
    },
    "MobileNetBackbone": INVERTED,
    "VGGBackbone": {
        "stackwise_num_repeats": [1, 1],
        "stackwise_num_filters": [4, 8],
    },
    "XceptionBackbone": {
        "stackwise_conv_filters": [[4, 8], [8, 8]],
        "stackwise_pooling": [True, False],
    },
    "CSPNetBackbone": {
        "stem_filters": 8,
        "stem_kernel_size": 3,
        "stem_strides": 1,
        "stackwise_depth": [1, 1],
        "stackwise_strides": [1, 2],
        "stackwise_num_filters": [8, 16],
        "block_type": "dark_block",
        "stage_type": "dark",
    },
    "MobileNetV5Backbone": {
        "stackwise_block_types": [["er"]],
        "stackwise_num_blocks": [1],
        "stackwise_num_filters": [[8]],
        "stackwise_strides": [[2]],
        "stackwise_act_layers": [["relu"]],
        "stackwise_exp_ratios": [[4.0]],
        "stackwise_se_ratios": [[0.0]],
        "stackwise_dw_kernel_sizes": [[0]],
        "stackwise_dw_start_kernel_sizes": [[0]],
        "stackwise_dw_end_kernel_sizes": [[0]],
        "stackwise_exp_kernel_sizes": [[3]],
        "stackwise_pw_kernel_sizes": [[1]],
        "stackwise_num_heads": [[0]],
        "stackwise_key_dims": [[0]],
        "stackwise_value_dims": [[0]],
        "stackwise_kv_strides": [[0]],
        "stackwise_use_cpe": [[False]],
        "use_msfa": False,
    },
    "ViTDetBackbone": {
        "image_shape": (32, 32, 3),
        "patch_size": 4,
        "hidden_size": 4,
        "num_layers": 1,
        "global_attention_layer_indices": [1],
        "intermediate_dim": 8,
        "num_heads": 2,
        "num_output_channels": 4,
        "window_size": 2,
    },
}


def build(name):
    return getattr(keras_hub.models, name)(**BACKBONES[name])


@pytest.mark.parametrize("name", BACKBONES)
def test_classifies_images(name, tmp_path):
    # Its embedding of positions is of one size.
    sizes = (32,) if name == "ViTDetBackbone" else (32, 64)
    check_classifier(build(name), tmp_path, sizes)


@pytest.mark.parametrize("name", sorted({*BACKBONES} - {"ViTDetBackbone"}))
def test_other_channels(name):
    check_other_channels(build(name))


# ViTDet takes images of one size alone.
@pytest.mark.parametrize("name", sorted({*BACKBONES} - {"ViTDetBackbone"}))
def test_a_label_for_each_pixel(name, tmp_path):
    check_unet(build(name), tmp_path)
