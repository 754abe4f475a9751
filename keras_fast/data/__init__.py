"""How does raw data become `(x, y)`?"""

from keras_fast.data.aug_transforms import AugTransforms

__all__ = ["AugTransforms"]
