"""Cats or dogs, in the eight steps of `image_classification.py`.

It loads 23,000 photos with tensorflow-datasets, 800 MB the first time, and
wants a GPU: on two CPU cores it takes hours.
"""

import tempfile

import image_classification as example
import keras
import tensorflow_datasets as tfds

from keras_fast.data import AugTransforms

TRAIN, VALID = "train[:80%]", "train[80%:]"


def load(split, augment=None):
    """Photos (n, SIZE, SIZE, 3), 0 to 255, and 0 for cats, 1 for dogs."""
    resize = keras.layers.Resizing(
        example.SIZE, example.SIZE, crop_to_aspect_ratio=True
    )
    photos = tfds.load(
        "cats_vs_dogs",
        split=split,
        as_supervised=True,
        shuffle_files=augment is not None,
    )
    if augment is not None:
        photos = photos.shuffle(2000, seed=example.SEED)
    photos = photos.map(lambda x, y: (resize(x), y)).batch(example.BATCH_SIZE)
    if augment is not None:
        photos = photos.map(lambda x, y: (augment(x, training=True), y))
    return photos.prefetch(2)


def main():
    keras.utils.set_random_seed(example.SEED)
    train, valid = load(TRAIN), load(VALID)
    augmented = load(TRAIN, AugTransforms(seed=example.SEED))
    model = example.build(num_classes=2)
    with tempfile.TemporaryDirectory() as kept:
        example.eight_steps(model, train, augmented, valid, kept, example.tell)
    loss, accuracy = model.evaluate(valid, verbose=0)
    print(f"validation: accuracy {accuracy:.3f}, loss {loss:.3f}")


if __name__ == "__main__":
    main()
