"""Images after each epoch, and a training that does not notice them."""

import random
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from helpers import BACKEND, digest
from matplotlib import pyplot as plt

from keras_fast.callbacks import SampleImages

rng = np.random.default_rng(0)
IMAGES = rng.uniform(size=(12, 4, 4, 3)).astype("float32")


def painter(shape=(4, 4, 3)):
    """With random numbers in training, and also without."""
    keras.utils.set_random_seed(0)

    @keras.saving.register_keras_serializable("test")
    class Drawn(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(0)

        def call(self, x):
            shape = keras.ops.shape(x)
            return x + 0.1 * keras.random.normal(shape, seed=self.seeds)

    model = keras.Sequential(
        [
            keras.Input(shape),
            Drawn(),
            keras.layers.Dropout(0.3),
            keras.layers.Flatten(),
            keras.layers.Dense(48, "sigmoid"),
            keras.layers.Reshape((4, 4, 3)),
        ]
    )
    optimizer = keras.optimizers.Adam(0.05)
    model.compile(optimizer, "mse", jit_compile=BACKEND == "jax")
    return model


def fit(model, *callbacks, x=IMAGES, **how):
    # Shuffled: the order too is a random state.
    how = {"epochs": 3, "batch_size": 4, "verbose": 0, **how}
    return model.fit(x, IMAGES, callbacks=[*callbacks], **how)


def test_training_is_the_same_bit_for_bit_and_images_are_those_of_its_weights(
    tmp_path,
):
    ends = []
    for number in range(2):
        model = painter()
        samples = SampleImages(IMAGES[:2], tmp_path / "a" / "b")
        history = fit(model, *[samples][:number]).history
        state = (digest(model), random.getstate(), str(np.random.get_state()))
        ends.append((*state, history))
    assert ends[0] == ends[1]
    assert samples.images.keys() == {0, 1, 2}
    assert samples.images[2].shape == (2, 4, 4, 3)
    # The state that the layer's noise was drawn from is still the same.
    again = keras.ops.convert_to_numpy(model(IMAGES[:2], training=False))
    np.testing.assert_allclose(samples.images[2], again, atol=1e-6)
    assert np.abs(samples.images[0] - again).max() > 1e-3
    names = [f"epoch_{n:04d}.png" for n in (1, 2, 3)]
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == names
    assert not plt.get_fignums()
    axes = samples.plot()
    assert axes.shape == (2, 2)
    assert [ax.get_title() for ax in axes[0]] == ["input", "output"]
    drawn = axes[1, 1].get_images()[0].get_array()
    np.testing.assert_allclose(drawn, samples.images[2][1], atol=1e-6)


@pytest.mark.once
def test_every_second_epoch_from_noise(tmp_path):
    noise = rng.normal(size=(12, 5))
    samples = SampleImages(noise[:3], tmp_path, every=2)
    fit(painter((5,)), samples, x=noise, epochs=4)
    assert samples.images.keys() == {1, 3}
    assert samples.plot(1).shape == (3,)
    names = ["epoch_0002.png", "epoch_0004.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    pixels = plt.imread(tmp_path / names[1])
    assert pixels.shape[-1] == 4
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) > 40
    with pytest.raises(ValueError, match=r"one of \[1, 3\]. Received: epoch=0"):
        samples.plot(0)


@pytest.mark.once
def test_notebooks_show_them_below_the_bar(monkeypatch, capsys):
    def display(figure):
        print("figure of", len(figure.axes))

    notebook = SimpleNamespace(
        get_ipython=object, display=SimpleNamespace(display=display)
    )
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    fit(painter(), SampleImages(IMAGES[:2]), epochs=2, verbose=2)
    lines = [
        line if "figure" in line else line.partition(" ")[0]
        for line in capsys.readouterr().out.splitlines()
    ]
    assert lines == ["Epoch", "3/3", "figure of 4"] * 2
    assert not plt.get_fignums()


@pytest.mark.once
def test_a_file_that_can_not_be_written_leaves_the_old_one(
    tmp_path, monkeypatch
):
    fit(painter(), SampleImages(IMAGES[:2], tmp_path), epochs=1)
    before = (tmp_path / "epoch_0001.png").read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="The file must be written whole"):
        fit(painter(), SampleImages(IMAGES[:1], tmp_path), epochs=1)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == before


@pytest.mark.once
def test_what_makes_no_images_is_refused_before_the_first_epoch():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    x = np.ones((4, 2))
    message = r"The model must make one image of each input.*\[\(4, 2\)\]$"
    with pytest.raises(ValueError, match=message):
        model.fit(x, x, verbose=0, callbacks=[SampleImages(x)])
    np.testing.assert_equal(model.get_weights(), before)
    with pytest.raises(TypeError, match="`directory` must be a path"):
        SampleImages(x, 3)


@pytest.mark.tensorflow_only
def test_tensorboard_shows_the_drawings(tmp_path):
    import tensorflow as tf

    board = keras.callbacks.TensorBoard(tmp_path / "logs", write_graph=False)
    shown = []
    # The scalars of tf.summary come with a package that is not here.
    board._summary_module = SimpleNamespace(
        create_file_writer=tf.summary.create_file_writer,
        scalar=lambda name, value, step: None,
        image=lambda name, pixels, step: shown.append((name, pixels, step)),
    )
    samples = SampleImages(IMAGES[:2], tmp_path / "files", every=2)
    fit(painter(), samples, board, epochs=4)
    assert [(name, step) for name, _, step in shown] == [
        ("samples", 1),
        ("samples", 3),
    ]
    drawn = plt.imread(tmp_path / "files" / "epoch_0004.png")
    np.testing.assert_array_equal(shown[1][1], drawn[None])
