"""Which checkpoint is refused, with nothing changed?"""

import keras
import pytest
from helpers import (
    BACKEND,
    adam,
    data,
    digest,
    mlp,
    sgd,
    state,
)
from resuming import CHECKPOINT, EPOCHS, Kill, Killed, small, train

from keras_fast import CorruptFileError
from keras_fast.callbacks import (
    ResumableCheckpoint,
)


@pytest.fixture
def interrupted(tmp_path):
    path = tmp_path / CHECKPOINT
    with pytest.raises(Killed):
        train(small, ResumableCheckpoint(path, save_freq=4), Kill(16))
    return path


def assert_refused(path, message, make=small, seed=0, error=ValueError, **more):
    keras.utils.set_random_seed(seed)
    model = make()
    before, content = digest(model), path.read_bytes()
    x, y = data()
    arguments = {"batch_size": 4, "epochs": EPOCHS, "verbose": 0, **more}
    with pytest.raises(error) as caught:
        model.fit(x, y, callbacks=[ResumableCheckpoint(path)], **arguments)
    assert str(caught.value) == message.format(path=str(path))
    assert digest(model) == before
    assert path.read_bytes() == content


def test_another_training_is_refused(interrupted):
    def wider():
        return mlp(sgd(), keras.layers.Dense(7))

    def deeper():
        return mlp(sgd(), keras.layers.Dropout(0.3), keras.layers.Dense(5))

    fits = "The file must be of this {}. {}Remove it, or pass another path. "
    frozen = "Freeze what was frozen then, if that is it. "
    received = "Received: path='{path}', which has {} where the {} has {}"

    def of(what, saved, own):
        hint = frozen if what == "optimizer" else ""
        return fits.format(what, hint) + received.format(
            saved, what, own, path="{path}"
        )

    seeds = state(small())
    assert len(seeds) > 4
    own = "kernel (5, 7) float32"
    dtype = keras.random.SeedGenerator(0).state.dtype
    saved = f"seed_generator_state (2,) {dtype}"
    assert_refused(interrupted, of("model", saved, own), wider)
    assert_refused(
        interrupted,
        of("optimizer", "SGD", "Adam"),
        lambda: mlp(adam(), keras.layers.Dropout(0.3)),
    )
    assert_refused(
        interrupted,
        "The random seed must be that of the interrupted training. Call "
        "`keras.utils.set_random_seed(0)` before `fit()`. Received: seed=1",
        seed=1,
    )
    assert_refused(
        interrupted,
        "An epoch must have as many batches as in the interrupted training, "
        "10. Pass the same data to `fit()`. Received: 5 batches",
        batch_size=8,
    )
    assert_refused(
        interrupted,
        "`epochs` must not be below those that are done, 1. Pass as many as "
        "before. Received: epochs=0",
        epochs=0,
    )


def test_a_damaged_file_is_refused(interrupted):
    content = bytearray(interrupted.read_bytes())
    content[len(content) // 2] ^= 1
    interrupted.write_bytes(content)
    assert_refused(
        interrupted,
        "The file must be as it was written. Remove it, or put back a copy. "
        "Received: path='{path}' (its checksum does not fit)",
        error=CorruptFileError,
    )


def test_a_model_without_variables_is_refused(tmp_path):
    model = keras.Sequential(
        [keras.layers.Dense(1, name="only")], name="unbuilt"
    )
    model.compile("sgd", "mse")
    if BACKEND == "tensorflow":  # the others build it when `fit()` starts
        with pytest.raises(ValueError) as caught:
            model.fit(
                *data(),
                verbose=0,
                callbacks=[ResumableCheckpoint(tmp_path / CHECKPOINT)],
            )
        assert str(caught.value) == (
            "The model must be built to be saved. Give it an `Input`, or call "
            "it, or each of its layers where it has no `call()`, on a batch "
            "before `fit()`. Received: model=unbuilt (not built: only)"
        )
