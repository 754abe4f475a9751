"""An image classifier in fast.ai's eight steps, each of them a line or two.

    python examples/image_classification.py FOLDER

FOLDER has `train` and `valid`, and each of them a folder of images for every
class. Without FOLDER it is the clip art beside this file. The backbone is
EfficientNet-Lite0, whose weights come in a package: nothing is downloaded.
"""

import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_fast
from keras_fast import callbacks, models
from keras_fast.data import AugTransforms
from keras_fast.optimizers import DiscriminativeOptimizer

# Keras warns about shuffled datasets, TensorFlow about many compiled models.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
logging.getLogger("tensorflow").setLevel("ERROR")

CLIP_ART = Path(__file__).parent / "data" / "clipart"
SIZE = 96  # pixels
BATCH_SIZE = 32
SEED = 0


def load(folder, augment=None):
    """Images (n, SIZE, SIZE, 3), 0 to 255, and their classes, in batches.

    With `augment` they come in another order, and look different, each epoch.
    """
    images = keras.utils.image_dataset_from_directory(
        folder,
        image_size=(SIZE, SIZE),
        batch_size=BATCH_SIZE,
        shuffle=augment is not None,
        seed=SEED,
        verbose=False,
    )
    if augment is not None:
        images = images.map(lambda x, y: (augment(x, training=True), y))
    return images.prefetch(2)


def build(num_classes, weights="imagenet"):
    base = models.efficientnet_lite0(weights, include_top=False)
    return models.image_classifier(
        base, num_classes, input_shape=(SIZE, SIZE, 3)
    )


def compile_model(model, multipliers=None):
    """Compile, with one learning rate or with one for each group."""
    optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    if multipliers is not None:
        optimizer = DiscriminativeOptimizer(optimizer, multipliers)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"])


def eight_steps(
    model, train, augmented, valid, folder, tell=print, num_cycles=3
):
    """Train a new classifier; returns snapshots and record of the last step.

    `tell` is called after each step with its name, what came of it, and the
    rate that was chosen. The last step has `num_cycles` cycles.
    """
    # 1. Compute once what the frozen base makes of each image.
    body, head = keras_fast.split_head(model)
    cache = keras_fast.cache_features(body, train, directory=folder)
    features = cache.dataset(BATCH_SIZE, seed=SEED)
    tell("1 cache features of the frozen base")

    # 2. Find the highest learning rate where the loss still improves.
    compile_model(head)
    found = keras_fast.lr_find(head, features)
    rate = found.suggestion
    tell("2 find a rate for the head", found, rate)

    # 3. Train the head on the features, where an epoch takes no time.
    cycle = callbacks.OneCycle(rate)
    history = head.fit(features, epochs=20, callbacks=[cycle], verbose=0)
    tell("3 train the head on features", history)

    # 4. Train the head on augmented images, a cycle an epoch. It is trained
    # already: a third of the rate.
    compile_model(model)
    restarts = callbacks.SGDR(rate / 3, cycle_len=1)
    history = model.fit(augmented, epochs=3, callbacks=[restarts], verbose=0)
    tell("4 train the head on augmented images", history)

    # 5. Let the base train too, but for the moving averages that it came with.
    keras_fast.unfreeze(model, train_batchnorm=False)
    tell("5 unfreeze")

    # 6. Lower rates for earlier layers, three times for each group.
    multipliers = keras_fast.layer_multipliers(model, [1 / 9, 1 / 3, 1.0])
    compile_model(model, multipliers)
    tell("6 three times lower rates for earlier layers")

    # 7. Find a rate for all of it. The model is trained already: the loss
    # can't fall much, but where it begins to rise says how far one may go.
    found = keras_fast.lr_find(
        model, augmented, start_lr=1e-6, end_lr=1.0, num_steps=100
    )
    rate = found.suggestions["trained"] or found.suggestion
    tell("7 find a rate for all layers", found, rate)

    # 8. Train all of it, each cycle twice as long, and keep the best. To go on
    # until it over-fits, add `callbacks.CycleStopping()` and more cycles.
    best = Path(folder) / "best.weights.h5"
    snapshots = callbacks.SnapshotEnsemble(Path(folder) / "snapshots")
    recorder = callbacks.Recorder()
    history = model.fit(
        augmented,
        epochs=callbacks.SGDR.num_epochs(num_cycles, cycle_mult=2),
        validation_data=valid,
        callbacks=[
            callbacks.SGDR(rate, cycle_mult=2),
            keras.callbacks.ModelCheckpoint(
                best, save_best_only=True, save_weights_only=True
            ),
            snapshots,
            recorder,
        ],
        verbose=0,
    )
    model.load_weights(best)
    tell("8 train all of it", history)
    return snapshots, recorder


def tell(step, result=None, rate=None):
    print(step, f"({rate:.1e})" if rate else "", flush=True)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CLIP_ART
    keras.utils.set_random_seed(SEED)
    augment = AugTransforms(seed=SEED)
    train, valid = load(folder / "train"), load(folder / "valid")
    augmented = load(folder / "train", augment)
    model = build(num_classes=len(list((folder / "train").iterdir())))
    with tempfile.TemporaryDirectory() as kept:
        eight_steps(model, train, augmented, valid, kept, tell)
    loss, accuracy = model.evaluate(valid, verbose=0)
    print(f"validation: accuracy {accuracy:.3f}, loss {loss:.3f}")


if __name__ == "__main__":
    main()
