"""How does raw data become `(x, y)`, and is it as it should be?"""

from keras_fast.data.aug_transforms import AugTransforms
from keras_fast.data.load_images import load_images
from keras_fast.data.mixing import mix
from keras_fast.data.show_batch import show_batch
from keras_fast.data.verify_images import verify_images

__all__ = [
    "AugTransforms",
    "load_images",
    "mix",
    "show_batch",
    "verify_images",
]
