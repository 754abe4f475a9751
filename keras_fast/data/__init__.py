"""How does raw data become `(x, y)`, and is it as it should be?"""

from keras_fast.data.aug_transforms import AugTransforms
from keras_fast.data.batch_plot import show_batch
from keras_fast.data.loading import load_images
from keras_fast.data.mixing import mix
from keras_fast.data.table_encoder import TableEncoder
from keras_fast.data.text_batches import TextBatches
from keras_fast.data.text_stream import TextStream
from keras_fast.data.vectors import WordVectors, word_vectors
from keras_fast.data.verification import verify_images

__all__ = [
    "AugTransforms",
    "TableEncoder",
    "TextBatches",
    "TextStream",
    "WordVectors",
    "load_images",
    "mix",
    "show_batch",
    "verify_images",
    "word_vectors",
]
