"""Keras's own tests with something of ours in every `fit()`: a pytest plugin.

`make peer-test` runs the tests inside the installed Keras that train. Each
that passes runs again for every mode, which may change nothing a test sees.
"""

import contextlib
import functools
import inspect
import itertools
import re
from collections.abc import Iterator
from unittest import mock

import keras
import pytest

import keras_fast
from keras_fast._keras import state
from keras_fast._keras.fit import flattened
from keras_fast._keras.live import own
from keras_fast._keras.unwrap import chain
from keras_fast.callbacks import ParamScheduler, Recorder
from keras_fast.optimizers import DiscriminativeOptimizer
from keras_fast.transfer.groups import can_train
from keras_fast.transfer.multipliers import Multipliers

BACKEND = keras.backend.backend()
TRAINING = re.compile(r"\b(fit|train_on_batch)\(")
DATA = ("x", "y", "sample_weight", "class_weight")
DATA += ("batch_size", "steps_per_epoch", "shuffle")
# What can't pass: how mode, test and backend begin, and why.
REFUSED = {
    r"(scheduler|recorder|lr_find|scheduled) .*_multi_optimizer_with_model_fit"
    r"|(lr_find|scheduled) .*_swap_ema_weights_with_multi_optimizer": (
        "a MultiOptimizer has no one learning rate"
    ),
    r"(scheduler|lr_find|scheduled) .*_fit_lr_correctness"
    r"|scheduler .*_throws_when_optimizer_has_schedule": (
        "the learning rate is a LearningRateSchedule"
    ),
    r"scheduler (LearningRateScheduler|ReduceLROnPlateau)Test\.test_(cool"
    r"|honors_min_lr|learning_|reduces_|schedule_|updates_|verbose_)"
    r"|recorder .*_learning_rate_in_history": (
        "another callback sets the learning rate, and notes it in the History"
    ),
    r"scheduler .*_(fit_sparse|adapter_generator |inputs_generator)"
    r"|schedule(r|d) .*_unknown_(dataset_size|data_size_(match|.*but))_": (
        "the length of an epoch is unknown"
    ),
    r"(lr_find|scheduled) .*_retracing tensorflow": (
        "the fit before traces the step too"
    ),
}


def scheduler(model, given):
    """The optimizer's own hyperparameters, as a schedule."""
    leaf = chain(model.optimizer)[-1]
    names = ("learning_rate", "momentum", "beta_2", "weight_decay")
    values = {name: own(leaf, name) for name in names}
    return ParamScheduler(
        **{
            name: lambda progress, value=value: value
            for name, value in values.items()
            if value > 0  # nor NaN, where there is none
        }
    )


def recorder(model, given):
    """What it adds to the `History` is taken out again."""
    return Recorder()


def lr_find(model, given):
    """A sweep before a model trains first."""
    keras_fast.lr_find(model, num_steps=6, **given)


def freeze(model, given):
    """All but the last group, and set free again."""
    keras_fast.freeze(model)
    keras_fast.unfreeze(model)


def scheduled(model, given):
    """A scheduled fit before the first, whose variables are put back."""
    state.build(model, **given)
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.metrics_variables]
    variables += model.optimizer.variables
    before = [keras.ops.copy(variable) for variable in variables]
    schedule = ParamScheduler(learning_rate=lambda progress: 0.1 + progress)
    with state.random_state_preserved([]):
        model.fit(**given, verbose=0, callbacks=[schedule])
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


def discriminative(model, given):
    """A multiplier of one for each variable, where they are known."""
    variables = tuple(can_train(model))
    ones = Multipliers((1.0,) * len(variables), variables)
    return DiscriminativeOptimizer(given.get("optimizer", "rmsprop"), ones)


def always(model, given, before):
    return True


def rewinds(model, given, before):
    """Once a model, and not with a generator: what is drawn from it is gone."""
    known = any(model is other for other in before)
    return not known and not isinstance(given.get("x"), Iterator)


def all_trains(model, given, before):
    ordered = isinstance(model, keras.Sequential) or hasattr(model, "inputs")
    layers = model._flatten_layers()
    return bool(ordered and model.weights) and all(x.trainable for x in layers)


def is_built(model, given, before):
    loaded = isinstance(given.get("optimizer"), DiscriminativeOptimizer)
    return model.built and not loaded


TRAINS = ("fit", "train_on_batch")
# What a mode stands before, and when.
MODES = {
    scheduler: (("fit",), always),
    recorder: (("fit",), always),
    lr_find: (TRAINS, rewinds),
    freeze: (TRAINS, all_trains),
    scheduled: (TRAINS, rewinds),
    discriminative: (("compile",), is_built),
}


class Standing:
    """A mode before Keras's methods; without one, which modes could be."""

    def __init__(self, mode):
        self.mode, self.busy = mode, False
        self.models = {each: [] for each in ([mode] if mode else MODES)}
        self.patches = contextlib.ExitStack()
        for name in ("compile", *TRAINS):
            kind = next(c for c in keras.Model.__mro__ if name in vars(c))
            method = self.before(vars(kind)[name])
            self.patches.enter_context(mock.patch.object(kind, name, method))

    def before(self, plain):
        signature = inspect.signature(plain)

        @functools.wraps(plain)
        def method(model, *args, **kwargs):
            given = signature.bind(model, *args, **kwargs).arguments
            if self.busy or not self.stands(plain.__name__, model, given):
                return plain(model, *args, **kwargs)
            self.busy = True
            try:
                self.stand(model, given)
            except Exception:
                plain(model, *args, **kwargs)  # Keras may refuse it as well
                raise
            finally:
                self.busy = False
            result = plain(**given)
            if self.mode is recorder:
                for name in ("learning_rate", "momentum"):
                    result.history.pop(name, None)
            return result

        return method

    def stands(self, name, model, given):
        for mode, before in self.models.items():
            names, takes = MODES[mode]
            if name in names and takes(model, given, before):
                before.append(model)
                if mode is self.mode:
                    return True
        return False

    def stand(self, model, given):
        if self.mode is discriminative:
            given["optimizer"] = discriminative(model, given)
            return
        data = {name: given[name] for name in DATA if name in given}
        if callback := self.mode(model, data):
            others = flattened(given.get("callbacks"))
            given["callbacks"] = [*others, callback]


def pytest_configure(config):
    config.addinivalue_line("python_files", "*_test.py")
    config.peers = {}  # tests that pass as they are, and modes for them


def pytest_ignore_collect(collection_path):
    is_file = collection_path.is_file()
    if is_file and not TRAINING.search(collection_path.read_text()):
        return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if report.failed:  # for want of a package, or of Keras's conftest.py
        report.outcome, report.longrepr = "skipped", (collector.path, 0, "")
    return report


def pytest_collection_modifyitems(items):
    sources = [inspect.getsource(item.function) for item in items]
    trains = [
        i for i, s in zip(items, sources, strict=True) if TRAINING.search(s)
    ]
    items.clear()
    for item, mode in itertools.product(trains, [None, *MODES]):
        again = type(item).from_parent(item.parent, name=item.name)
        again.mode, again.test = mode, f"{item.parent.name}.{item.name}"
        if not mode:  # some need packages, or sources, that are not here
            again.add_marker(pytest.mark.xfail)
        for tests, reason in REFUSED.items() if mode else ():
            if re.match(tests, f"{mode.__name__} {again.test} {BACKEND}"):
                again.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        items.append(again)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if item.mode and item.mode not in item.config.peers.get(item.test, ()):
        item.session._setupstate.teardown_exact(nextitem)
        return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    item.standing = Standing(item.mode)
    with item.standing.patches:
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if item.mode:
        report.nodeid += f"[{item.mode.__name__}]"
    elif report.when == "call" and report.passed:
        modes = {m for m, models in item.standing.models.items() if models}
        item.config.peers[item.test] = modes
    return report


def pytest_terminal_summary(terminalreporter):
    for mode in MODES:
        counts = {
            outcome: sum(f"[{mode.__name__}]" in r.nodeid for r in reports)
            for outcome, reports in terminalreporter.stats.items()
            if outcome in ("passed", "failed", "xfailed")
        }
        terminalreporter.write_line(f"{mode.__name__}: {counts}")
