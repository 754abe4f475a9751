"""How does raw data become `(x, y)`?"""

from keras_fast.data.aug_transforms import AugTransforms
from keras_fast.data.mixing import mix

__all__ = ["AugTransforms", "mix"]
