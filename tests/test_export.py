"""A model can be exported and checkpointed after all that is done to it."""

import keras
import numpy as np
import pytest
from helpers import BACKEND

import keras_fast
from keras_fast import callbacks
from keras_fast.data import AugTransforms

if BACKEND != "tensorflow":
    pytest.skip("TensorFlow's formats", allow_module_level=True)

import tensorflow as tf

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 255, (16, 8, 8, 3)).astype("float32")
Y = np.arange(16) % 2


def layers():
    return [
        keras.layers.Conv2D(4, 3, strides=2),
        keras.layers.BatchNormalization(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(2, activation="softmax"),
    ]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.parts = layers()

    def build(self, shape):
        for part in self.parts:
            part.build(shape)
            shape = part.compute_output_shape(shape)
        self.built = True

    def call(self, x, training=False):
        for part in self.parts:
            takes_training = "training" in part._call_signature.parameters
            x = part(x, training=training) if takes_training else part(x)
        return x


def functional(size=8):
    inputs = outputs = keras.Input((size, size, 3))
    for layer in layers():
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def sequential(size=8):
    return keras.Sequential([keras.Input((size, size, 3)), *layers()])


def subclassed(size=8):
    model = Subclassed()
    model.build((None, size, size, 3))
    return model


def fit(model, *more, **arguments):
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=list(more), **arguments)


def cycles(model, directory):
    fit(model, callbacks.OneCycle(0.01), callbacks.Recorder())


def snapshots(model, directory):
    ensemble = callbacks.SnapshotEnsemble(directory / "snapshots")
    fit(model, callbacks.SGDR(0.01), ensemble, epochs=2)


def resumable(model, directory):
    fit(model, callbacks.ResumableCheckpoint(directory / "saved"), epochs=2)


def averaged(model, directory):
    fit(model, callbacks.WeightAveraging(0, x=X), epochs=2)


def found(model, directory):
    keras_fast.lr_find(model, X, Y, num_steps=6)


def found_and_trained(model, directory):
    found(model, directory)
    fit(model)


def frozen(model, directory):
    fit(model)
    groups = None
    if isinstance(model, Subclassed):
        groups = [model.parts[:2], model.parts[2:]]
    keras_fast.freeze_to(model, -1, groups)
    fit(model)
    model.trainable = True
    fit(model)


def unfrozen(model, directory):
    fit(model)
    keras_fast.freeze(model)
    fit(model)
    keras_fast.unfreeze(model)
    fit(model)


def fine_tuned(model, directory):
    keras_fast.fine_tune(model, X, Y, epochs=1, head_epochs=1, verbose=0)


def as_in_fastai(model, directory):
    keras_fast.fine_tune(
        model,
        X,
        Y,
        epochs=1,
        head_epochs=0,
        freeze_epochs=1,
        lr_mult=100,
        average=0,
        verbose=0,
    )


def resized(model, directory):
    keras_fast.progressive_resizing(
        model,
        lambda size: (X[:, :size, :size], Y),
        sizes=(6, 8),
        epochs=1,
        max_lr=0.01,
        verbose=0,
    )


def augmented(model, directory):
    fit(model)
    keras_fast.predict_tta(model, X, AugTransforms(), num_augmented=1)


def own_rates(model, directory):
    model.compile(
        keras_fast.optimizers.DiscriminativeOptimizer(
            keras.optimizers.Adam(0.01),
            keras_fast.layer_multipliers(model, slice(1e-4, 1e-2)),
        ),
        model.loss,
    )
    fit(model, callbacks.OneCycle(0.01))


ANY = [cycles, snapshots, resumable, averaged, found, found_and_trained, frozen]
ORDERED = [unfrozen, fine_tuned, as_in_fastai, resized, augmented, own_rates]
CASES = [
    *((functional, done) for done in ANY),
    *((subclassed, done) for done in [*ANY, augmented]),
    *((sequential, done) for done in [*ORDERED, found]),
    (functional, fine_tuned),
]


def compiled(make, size=8):
    keras.utils.set_random_seed(0)
    model = make(size)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def served(folder):
    loaded = tf.saved_model.load(str(folder))
    return loaded.serve(X).numpy()


@pytest.mark.parametrize(("make", "done"), CASES)
@pytest.mark.matrix(4)
def test_what_is_served_is_what_predict_says(make, done, tmp_path):
    model = compiled(make, None if done is resized else 8)
    done(model, tmp_path)
    wanted = model.predict(X, verbose=0)
    model.export(tmp_path / "served", verbose=False)
    np.testing.assert_allclose(served(tmp_path / "served"), wanted, atol=1e-5)
    checkpoint = tf.train.Checkpoint(model=model)
    path = checkpoint.save(str(tmp_path / "checkpoint"))
    before = [np.array(v.numpy()) for v in model.variables]
    for variable in model.trainable_variables:
        variable.assign(variable + 1)
    checkpoint.restore(path)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.filterwarnings("ignore:.*Warning. tf.lite.Interpreter")
@pytest.mark.parametrize("done", [found_and_trained, unfrozen, fine_tuned])
@pytest.mark.matrix(1)
def test_lite(done, tmp_path):
    model = compiled(functional)
    done(model, tmp_path)
    path = tmp_path / "model.tflite"
    model.export(path, format="litert", verbose=False)
    lite = tf.lite.Interpreter(str(path))
    lite.resize_tensor_input(lite.get_input_details()[0]["index"], X.shape)
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], X)
    lite.invoke()
    outputs = lite.get_tensor(lite.get_output_details()[0]["index"])
    wanted = model.predict(X, verbose=0)
    np.testing.assert_allclose(outputs, wanted, atol=1e-5)


class Exports(keras.callbacks.Callback):
    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        self.model.export(self.folder, verbose=False)
        self.outputs = self.model.predict(X, verbose=0)


@pytest.mark.parametrize("make", [functional, subclassed])
def test_export_within_a_fit(make, tmp_path):
    exports = Exports(tmp_path / "served")
    path = tmp_path / "best.keras"
    model = compiled(make)
    keras_fast.lr_find(model, X, Y, num_steps=6)
    checkpoint = []
    if make is functional:
        checkpoint = [keras.callbacks.ModelCheckpoint(path)]
    fit(
        model,
        callbacks.OneCycle(0.01),
        callbacks.Recorder(),
        exports,
        *checkpoint,
    )
    np.testing.assert_allclose(
        served(tmp_path / "served"), exports.outputs, atol=1e-5
    )
    if checkpoint:
        loaded = keras.models.load_model(path)
        np.testing.assert_allclose(
            loaded.predict(X, verbose=0), exports.outputs, atol=1e-5
        )
