"""How does raw data become `(x, y)`, and is it correct?"""

from keras_fast.data.images.aug_transforms import AugTransforms
from keras_fast.data.images.batch_plot import show_batch
from keras_fast.data.images.damage import crappify
from keras_fast.data.images.loading import load_images
from keras_fast.data.images.mixing import mix
from keras_fast.data.images.verification import verify_images
from keras_fast.data.tables.table_encoder import TableEncoder
from keras_fast.data.text.text_batches import TextBatches
from keras_fast.data.text.text_stream import TextStream
from keras_fast.data.text.vectors import WordVectors, word_vectors

__all__ = [
    "AugTransforms",
    "TableEncoder",
    "TextBatches",
    "TextStream",
    "WordVectors",
    "crappify",
    "load_images",
    "mix",
    "show_batch",
    "verify_images",
    "word_vectors",
]
