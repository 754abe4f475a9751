"""Is a wrong argument named, before anything has been trained?"""

import math
from functools import cache, partial

import keras
import pytest
from helpers import adam, data, digest, fit, mlp

import keras_fast
from keras_fast import callbacks, schedules
from keras_fast.optimizers import DiscriminativeOptimizer

NAN, INF = math.nan, math.inf
NO_NUMBERS = ("1", None, True, [1], NAN, INF)
NOT_FINITE = (NAN, "1", None, True)
NOT_POSITIVE = (0, -1, *NO_NUMBERS)
NO_RATES = (0, -1, INF, *NOT_FINITE)
NO_COUNTS = (0, -1, 1.5, *NO_NUMBERS)
NO_FRACTIONS = (0, 1, 25, -0.1, *NO_NUMBERS)
NO_FACTORS = (0, 0.5, -1, *NO_NUMBERS)
NO_PATHS = ("", 3, None, ["save"])
NO_CYCLES = {
    "max_lr": NOT_POSITIVE,
    "cycle_len": NOT_POSITIVE,
    "cycle_mult": NO_FACTORS,
    "min_lr": (-1, 2, *NO_NUMBERS),
}
NO_ONE_CYCLE = {
    "max_lr": NOT_POSITIVE,
    "pct_start": NO_FRACTIONS,
    "div_factor": NO_FACTORS,
    "final_div_factor": NO_FACTORS,
    "anneal": ("cos", "", 1, None),
}
NO_SLANT = {
    "max_lr": NOT_POSITIVE,
    "cut_frac": NO_FRACTIONS,
    "ratio": NO_FACTORS,
}
NO_WAVE = {
    "base_lr": (-1, 3, *NO_NUMBERS),
    "max_lr": NOT_POSITIVE,
    "step_size": (0, -1, *NOT_FINITE),
    "mode": ("up", 2, None),
    "gamma": (0, -1, 1.5, *NOT_FINITE),
}
NO_SWEEP = {
    "start_lr": (20.0, *NO_RATES),
    "end_lr": (1e-9, *NO_RATES),
    "num_steps": (5, *NO_COUNTS),
    "stop_factor": (0.5, *NO_RATES),
}
NO_BATCHES = {
    "batch_size": (0, -1, 1.5, "4"),
    "steps_per_epoch": (0, -1, 1.5, "4"),
}
# What is right, and wrong values of each argument.
CALLS = [
    (
        callbacks.OneCycle,
        {"max_lr": 0.1},
        {**NO_ONE_CYCLE, "momentums": (0.9, "abc", (), (0.9, 0.8))},
    ),
    (
        callbacks.ResumableCheckpoint,
        {"path": "save"},
        {"path": NO_PATHS, "save_freq": ("batch", 0, -1, 1.5, True, None)},
    ),
    (callbacks.SGDR, {"max_lr": 1.0}, NO_CYCLES),
    (callbacks.SampleImages, {"x": [[1.0]]}, {"every": NO_COUNTS}),
    (
        callbacks.SampleText,
        {"generate": len, "prompts": [[1]]},
        {
            "generate": ("text", None),
            "prompts": ([], None, "text"),
            "num_tokens": NO_COUNTS,
            "decode": ("text", 1),
            "every": NO_COUNTS,
            "seed": (-1, 0.5, "1"),
            "write": ("text", None),
        },
    ),
    (
        callbacks.CycleStopping,
        {},
        {
            "monitor": (3, None, ""),
            "min_delta": (-1, *NOT_FINITE),
            "patience": NO_COUNTS,
            "mode": ("down", "", 1, None),
        },
    ),
    (callbacks.SnapshotEnsemble, {}, {"directory": NO_PATHS}),
    (
        callbacks.WeightAveraging,
        {"start": 1},
        {"start": (-1, 1.5, True, None), **NO_BATCHES},
    ),
    (
        callbacks.SGDR.num_epochs,
        {"num_cycles": 2},
        {
            "num_cycles": NO_COUNTS,
            "cycle_len": NOT_POSITIVE,
            "cycle_mult": NO_FACTORS,
        },
    ),
    (
        callbacks.CyclicalLR,
        {"base_lr": 0.1, "max_lr": 1, "step_size": 3},
        {**NO_WAVE, "step_size": (0, -1, 0.5, "3", True, *NOT_FINITE)},
    ),
    (
        callbacks.FlatCosine,
        {"max_lr": 0.1},
        {k: NO_ONE_CYCLE[k] for k in ("max_lr", "pct_start")}
        | {"final_div_factor": NO_FACTORS},
    ),
    (callbacks.SlantedTriangular, {"max_lr": 0.1}, NO_SLANT),
    (
        callbacks.LRFinder,
        {},
        {**NO_SWEEP, "smoothing": (1, 1.5, -0.1, *NOT_FINITE)},
    ),
    (
        callbacks.ParamScheduler,
        {"learning_rate": abs},
        dict.fromkeys(("momentum", "beta_2", "weight_decay"), (0.1, None)),
    ),
    (
        callbacks.ParamScheduler(momentum=abs).curve,
        {},
        {"num_updates": (0, "9")},
    ),
    (schedules.linear, {"progress": 0, "start": 0}, {"end": NO_NUMBERS}),
    (schedules.cosine, {"progress": 0, "end": 0}, {"start": NO_NUMBERS}),
    (
        schedules.exponential,
        {"progress": 0.5, "start": 1, "end": 1},
        {"start": NOT_POSITIVE, "end": NOT_POSITIVE, "progress": NOT_FINITE},
    ),
    (
        schedules.polynomial,
        {"progress": 0.5, "start": 0, "end": 1},
        {"power": NOT_POSITIVE},
    ),
    (schedules.one_cycle, {"progress": 0.5, "max_lr": 1}, NO_ONE_CYCLE),
    (schedules.sgdr, {"progress": 0.5, "max_lr": 1}, NO_CYCLES),
    (
        schedules.triangular,
        {"progress": 0.5, "base_lr": 0.1, "max_lr": 1},
        NO_WAVE,
    ),
    (schedules.slanted_triangular, {"progress": 0.5, "max_lr": 1}, NO_SLANT),
    (
        schedules.flat_cosine,
        {"progress": 0.5, "max_lr": 1},
        {"pct_start": NO_FRACTIONS, "final_div_factor": NO_FACTORS},
    ),
    (
        schedules.join,
        {"fractions": [0.5, 0.5], "schedules": [abs, abs]},
        {
            "fractions": ([], None, 3, "ab", {0.5}, [0.5], [0.5, 0.6]),
            "schedules": ([], None, 3, "ab", [abs]),
        },
    ),
]
ROWS = [
    pytest.param(
        partial(call, **{k: v for k, v in good.items() if k != name}),
        name,
        value,
        id=f"{call.__qualname__} {name}={value!r}",
    )
    for call, good, wrong in CALLS
    for name, values in wrong.items()
    for value in values
]


class NoStep(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise AssertionError("a training step was made")


@cache
def trained():
    model = mlp(adam())
    fit(model, *data(2), epochs=1)
    return model


def assert_refused(call, name, received):
    before = digest(trained())
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    message = str(caught.value)
    assert f"`{name}`" in message.partition("Received: ")[0]
    assert f"{name}={received!r}" in message.partition("Received: ")[2]
    assert digest(trained()) == before


def test_every_public_callable_is_tried():
    tried = {call.__qualname__ for call, _, _ in CALLS}
    names = {*schedules.__all__, *callbacks.__all__} - {"Recorder"}
    assert tried >= names
    assert len(ROWS) >= 60


@pytest.mark.parametrize(("call", "name", "value"), ROWS)
def test_value(call, name, value):
    assert_refused(partial(call, **{name: value}), name, value)


def lr_find(model, **arguments):
    arguments = {"callbacks": [NoStep()], **arguments}
    return keras_fast.lr_find(model, *data(2), **arguments)


def to_groups(rates):
    groups = [[layer] for layer in trained().layers]
    return keras_fast.layer_multipliers(trained(), rates, groups)


# A call of one argument, and pairs: a wrong one and what of it is named.
PARTS = [
    (
        lambda m: callbacks.OneCycle(1, momentums=m),
        "momentums",
        [
            ((0.9, NAN, 0.9), NAN),
            ((0.9, 0.8, 2), 2),
            ((1.0, 0.9, 0.9), 1.0),
            ((0.9, "0.8", 0.9), "0.8"),
        ],
    ),
    (
        lambda s: schedules.join([0.5, 0.5], s),
        "schedules",
        [([abs, 3], 3), ([abs, None], None)],
    ),
    (
        lambda m: DiscriminativeOptimizer("sgd", m),
        "multipliers",
        [
            (None, None),
            (3, 3),
            ("1", "1"),
            ([-1.0], -1.0),
            ([1, NAN], NAN),
            (["1"], "1"),
            ([True], True),
        ],
    ),
    (
        lambda o: DiscriminativeOptimizer(o, [1.0]),
        "inner_optimizer",
        [(None, None)],
    ),
    (
        lambda n: keras_fast.layer_groups(trained(), n),
        "num_groups",
        [(n, n) for n in (99, *NO_COUNTS) if n is not None],
    ),
    (
        lambda g: keras_fast.freeze_to(trained(), g),
        "group",
        [(g, g) for g in (2, 99, -3, 0.5, "0", None, True, NAN)],
    ),
    (
        lambda r: keras_fast.layer_multipliers(trained(), r),
        "learning_rates",
        [(r, r) for r in (None, 0.1, "0.1", {0.1}, [], [0.1] * 9)],
    ),
    (
        to_groups,
        "learning_rates",
        [
            ([0.1], [0.1]),
            ([0.0, 0.1], 0.0),
            ([-0.1, 0.1], -0.1),
            ([0.1, NAN], NAN),
            (["0.1", 0.1], "0.1"),
        ],
    ),
    (
        lambda stop: to_groups(slice(stop)),
        "learning_rates.stop",
        [(stop, stop) for stop in NOT_POSITIVE],
    ),
    (
        lambda start: to_groups(slice(start, 0.1)),
        "learning_rates.start",
        [(start, start) for start in (0, -1, INF, NAN, "1", True)],
    ),
    (lr_find, "model", [(m, m) for m in (3, None, "model", keras.Model)]),
]
PARTS += [
    (call, "groups", [(g, g) for g in ("abc", 3, [], [[]], [["dense"]])])
    for call in (
        lambda g: keras_fast.freeze_to(trained(), 0, g),
        lambda g: keras_fast.layer_multipliers(trained(), slice(0.1), g),
        lambda g: keras_fast.training_plan(trained(), g),
    )
]
PARTS += [
    (call, "model", [(m, m) for m in (3, None, "model", keras.Model)])
    for call in (
        keras_fast.freeze,
        keras_fast.unfreeze,
        keras_fast.layer_groups,
        keras_fast.training_plan,
        lambda m: keras_fast.freeze_to(m, 0),
        lambda m: keras_fast.layer_multipliers(m, [0.1]),
    )
]
PARTS += [
    (
        lambda value, name=name: lr_find(trained(), **{name: value}),
        name,
        [(value, value) for value in values],
    )
    for name, values in {**NO_SWEEP, "epochs": (0, 3), **NO_BATCHES}.items()
]


@pytest.mark.parametrize(
    ("call", "name", "value", "received"),
    [
        pytest.param(call, name, *pair, id=f"{name}={pair[0]!r}")
        for call, name, pairs in PARTS
        for pair in pairs
    ],
)
def test_part(call, name, value, received):
    assert_refused(partial(call, value), name, received)


def test_recorder_takes_nothing():
    with pytest.raises(TypeError, match="nonsense"):
        callbacks.Recorder(nonsense=1)
