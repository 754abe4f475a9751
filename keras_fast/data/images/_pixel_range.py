"""Are pixels from 0 to 255, as brightness needs them?"""

import warnings
from typing import Any

import keras
import numpy as np

__all__ = ["range_is_known"]


def range_is_known(images: Any) -> bool:
    """Whether the pixels show their range; warns if they are from 0 to 1."""
    if not isinstance(images, np.ndarray) and not hasattr(images, "numpy"):
        return False  # a compiled step has no numbers to look at
    pixels = keras.ops.convert_to_numpy(images)
    highest = pixels.max(initial=0)
    if pixels.dtype.kind == "f" and 0 < highest <= 1:
        warnings.warn(
            "Pixels must be from 0 to 255 for their brightness and contrast "
            "to be changed. Put the layer before the rescaling, or pass "
            "`max_lighting=0`. Received: images whose highest pixel is "
            f"{highest:.3g}",
            stacklevel=4,
        )
    return bool(highest > 0)  # black shows nothing
