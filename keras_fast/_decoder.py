"""Can Keras's loader of pictures read this file?"""

import re

__all__ = ["decoding_error"]


def decoding_error(content: bytes) -> str | None:
    """Why `keras.utils.image_dataset_from_directory` can't load it, or None.

    That function decodes with TensorFlow on every backend, and what other
    decoders take, TensorFlow may refuse.
    """
    import tensorflow as tf

    try:
        tf.io.decode_image(content, channels=3, expand_animations=False)
    except (tf.errors.OpError, MemoryError) as error:
        message = str(getattr(error, "message", "") or "out of memory")
        return re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", message).strip()
    return None
