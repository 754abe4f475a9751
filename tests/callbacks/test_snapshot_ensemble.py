import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import adam, data, digest, distance, fit, mlp, sgd

from keras_fast import CorruptFileError
from keras_fast.callbacks import SGDR, SnapshotEnsemble

DATA = Path(__file__).parents[1] / "data"


class Weights(keras.callbacks.Callback):
    """Takes down the weights at the end of each cycle."""

    def __init__(self):
        super().__init__()
        self.cycles = []

    def on_cycle_end(self, cycle, logs=None):
        self.cycles.append(self.model.get_weights())


def layers():
    return keras.layers.Dropout(0.3), keras.layers.BatchNormalization()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model after four cycles, its ensemble, and what each had to be."""
    keras.utils.set_random_seed(0)
    ensemble = SnapshotEnsemble(tmp_path_factory.mktemp("new") / "snapshots")
    model, taken = mlp(adam(), *layers()), Weights()
    fit(model, *data(), SGDR(0.05, cycle_len=0.5), ensemble, taken)
    return model, ensemble, taken.cycles


def mean_by_hand(model, cycles, x):
    before, outputs = model.get_weights(), []
    for weights in cycles:
        model.set_weights(weights)
        outputs.append(model.predict(x, verbose=0).astype("float64"))
    model.set_weights(before)
    return np.mean(outputs, axis=0)


@pytest.mark.parametrize("last", [None, 1, 3])
def test_mean_of_the_last(last, trained):
    model, ensemble, cycles = trained
    assert len(ensemble.members) == len(cycles) == 4
    before, (x, _) = digest(model), data()
    got = ensemble.predict(x, last=last, batch_size=16, verbose=0)
    assert got.dtype == "float32"
    assert digest(model) == before
    wanted = mean_by_hand(model, cycles[-(last or 4) :], x)
    assert distance(got, wanted) <= 1e-6
    exported = ensemble.to_model(last).predict(x, verbose=0)
    assert distance(exported, wanted) <= 1e-6


ALONE = """
import sys
sys.modules["keras_fast"] = None
import keras, numpy as np
from helpers import data
model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[2], model.predict(data()[0], verbose=0))
"""


@pytest.mark.matrix(1)
def test_the_file_loads_without_keras_fast(trained, tmp_path):
    _, ensemble, _ = trained
    path, result = tmp_path / "ensemble.keras", tmp_path / "outputs.npy"
    ensemble.to_model(2).save(path)
    folder = os.path.dirname(os.path.dirname(__file__))
    subprocess.run(
        [sys.executable, "-c", ALONE, str(path), str(result)],
        env=os.environ | {"PYTHONPATH": folder},
        check=True,
        timeout=300,
    )
    wanted = ensemble.predict(data()[0], last=2, verbose=0)
    assert distance(np.load(result), wanted) <= 1e-6


def test_several_inputs_and_outputs(tmp_path):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    hidden = keras.layers.Dense(3)(keras.layers.Concatenate()([a, b]))
    outputs = {"p": keras.layers.Dense(2)(hidden), "q": hidden}
    model = keras.Model({"a": a, "b": b}, outputs)
    model.compile(sgd(), {"p": "mse", "q": "mse"})
    x, _ = data()
    inputs = {"a": x, "b": -x}
    targets = {"p": np.zeros((40, 2)), "q": np.zeros((40, 3))}
    ensemble, taken = SnapshotEnsemble(tmp_path), Weights()
    fit(model, inputs, targets, SGDR(0.01), ensemble, taken)
    got = ensemble.predict(inputs, verbose=0)
    exported = ensemble.to_model().predict(inputs, verbose=0)
    assert set(got) == set(exported) == {"p", "q"}
    wanted = {name: [] for name in got}
    for weights in taken.cycles:
        model.set_weights(weights)
        for name, output in model.predict(inputs, verbose=0).items():
            wanted[name].append(output)
    for name, outputs in wanted.items():
        assert distance(got[name], np.mean(outputs, axis=0)) <= 1e-6
        assert distance(exported[name], np.mean(outputs, axis=0)) <= 1e-6


# JAX has the others only where it is told so.
WIDE = "float64" if keras.backend.backend() == "tensorflow" else "float32"


def scaled(offset=0.0):
    """A model that takes out of its input what it was adapted to."""
    scale = keras.layers.Normalization(dtype=WIDE)
    model = keras.Sequential(
        [keras.Input((4,)), scale, keras.layers.Dense(1, dtype=WIDE)]
    )
    scale.adapt(offset + 50 * data()[0])
    model.compile(sgd(), "mse")
    return model


def test_constants_come_along_and_the_precision_stays(tmp_path):
    x, y = 300 + 50 * data()[0], data()[1]
    model, ensemble, taken = scaled(300), SnapshotEnsemble(tmp_path), Weights()
    fit(model, x, y, SGDR(0.05), ensemble, taken)
    wanted = mean_by_hand(model, taken.cycles, x)
    exported = ensemble.to_model().predict(x, verbose=0)
    assert exported.dtype == WIDE
    most = 10 * np.finfo(WIDE).eps
    assert distance(exported, wanted) <= most
    # In a model that is to be what the file says, whatever it was.
    other = scaled()
    before = other.predict(x, verbose=0)
    ensemble.set_model(other)
    assert distance(ensemble.predict(x, verbose=0), wanted) <= most
    np.testing.assert_array_equal(other.predict(x, verbose=0), before)


def names(ensemble):
    return [path.name for path in ensemble.members]


def test_one_folder_one_training(tmp_path):
    ensemble = SnapshotEnsemble(tmp_path)
    model = mlp(sgd())
    fit(model, *data(), SGDR(0.01), ensemble, epochs=3)
    everything = [f"cycle-00{k}.snapshot" for k in range(3)]
    assert names(ensemble) == everything
    old = ensemble.members[0].read_bytes()
    # It goes on with the second cycle.
    again = SnapshotEnsemble(tmp_path)
    fit(mlp(sgd()), *data(), SGDR(0.01), again, epochs=2, initial_epoch=1)
    assert names(again) == everything[:2]
    assert again.members[0].read_bytes() == old


def test_a_failed_predict_gives_the_weights_back(trained):
    model, ensemble, _ = trained
    before = digest(model)
    with pytest.raises(Exception):  # noqa: B017  which one is up to Keras
        ensemble.predict(data()[0][:, :3], verbose=0)
    assert digest(model) == before


def test_of_another_model(trained):
    _, ensemble, _ = trained
    other = mlp(sgd(), keras.layers.Dense(7))
    with pytest.raises(ValueError) as caught:
        fit(other, *data(), SGDR(0.01), SnapshotEnsemble(ensemble.directory))
    message = str(caught.value)
    assert message.startswith(
        "The file must be of this model. Remove it, or pass another path. "
        f"Received: path={str(ensemble.members[0])!r}, which has "
    )
    assert message.endswith("where the model has kernel (5, 7) float32")


def test_a_damaged_snapshot(tmp_path):
    ensemble = SnapshotEnsemble(tmp_path)
    model = mlp(sgd())
    fit(model, *data(2), SGDR(0.01), ensemble)
    content = bytearray(ensemble.members[1].read_bytes())
    content[-9] ^= 4
    ensemble.members[1].write_bytes(content)
    before = digest(model)
    with pytest.raises(CorruptFileError, match="cycle-001"):
        ensemble.predict(data()[0], verbose=0)
    assert digest(model) == before


def test_without_sgdr(tmp_path):
    with pytest.raises(ValueError) as caught:
        fit(mlp(sgd()), *data(), SnapshotEnsemble(tmp_path))
    assert str(caught.value) == (
        "`SnapshotEnsemble` must be used with `SGDR`, whose cycles it follows. "
        "Pass `callbacks=[SGDR(...), SnapshotEnsemble(...)]`. Received: "
        "callbacks without SGDR"
    )


def test_what_can_be_read_once(trained):
    _, ensemble, _ = trained
    with pytest.raises(ValueError) as caught:
        ensemble.predict(iter([data()[0]]))
    assert str(caught.value) == (
        "`x` must be what each snapshot can read from the start. Pass arrays "
        "or a dataset. Received: x=list_iterator"
    )


def test_more_than_there_are(trained):
    _, ensemble, _ = trained
    with pytest.raises(ValueError) as caught:
        ensemble.predict(data()[0], last=5)
    assert str(caught.value) == (
        "There must be 5 snapshots. Train for more cycles, or ask for fewer. "
        f"Received: directory={str(ensemble.directory)!r} with 4"
    )


def test_a_model_must_be_known(tmp_path):
    with pytest.raises(ValueError) as caught:
        SnapshotEnsemble(tmp_path).predict(data()[0])
    assert str(caught.value) == (
        "The ensemble must know its model. Call `fit()` with it, or "
        "`set_model(model)`. Received: model=None"
    )


# Written with version 0.1.0, of a model that was not trained.
def test_the_file_of_an_earlier_version():
    ensemble = SnapshotEnsemble(DATA / "snapshots_0.1.0")
    model, (x, _) = mlp(sgd()), data()
    wanted = model.predict(x, verbose=0)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    ensemble.set_model(model)
    np.testing.assert_array_equal(ensemble.predict(x, verbose=0), wanted)
