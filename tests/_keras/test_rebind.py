"""Does an optimizer that is built again keep what it knows, wherever it is?"""

import keras
import numpy as np
import pytest
from helpers import BACKEND, data, fit, mlp, since, weights

from keras_fast import freeze, freeze_to, unfreeze
from keras_fast._keras.rebind import check_rebindable

JIT = BACKEND == "jax"
ALL = [
    getattr(keras.optimizers, name)
    for name in dir(keras.optimizers)
    if isinstance(getattr(keras.optimizers, name), type)
    and issubclass(getattr(keras.optimizers, name), keras.Optimizer)
    and name not in ("LossScaleOptimizer", "MultiOptimizer", "Optimizer")
]


class ByKey(keras.optimizers.Optimizer):
    """Momentum that counts, its slots in a dict."""

    def __init__(self, learning_rate=0.05, **arguments):
        super().__init__(learning_rate, **arguments)
        self.slots = {}
        # Made once, and not by `build`.
        self.count = self.add_variable((), name="count")

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        for variable in variables:
            key = self._var_key(variable)
            # A slot that is there is not made twice.
            self.slots.setdefault(key, self.slot(variable, "m"))

    def slot(self, variable, name):
        return self.add_variable_from_reference(variable, name)

    def momentum_of(self, variable):
        return self.slots[self._var_key(variable)]

    def update_step(self, gradient, variable, learning_rate):
        m = self.momentum_of(variable)
        # The more updates, the shorter they are.
        self.assign(self.count, self.count + 0.01)
        rate = learning_rate / (1 + self.count)
        self.assign(m, 0.9 * m - rate * gradient)
        self.assign_add(variable, m)


class Nested(ByKey):
    """As in PyTorch, a dict of slots for each variable."""

    def slot(self, variable, name):
        return {name: super().slot(variable, name)}

    def momentum_of(self, variable):
        return super().momentum_of(variable)["m"]


class Listed(ByKey):
    """A list of such dicts."""

    def build(self, variables):
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self.slots = [{"m": self.slot(v, "m")} for v in variables]

    def momentum_of(self, variable):
        return self.slots[self._get_variable_index(variable)]["m"]


class Hidden(ByKey):
    """Slots that nobody finds."""

    def build(self, variables):
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self.hidden = [{}]
        for variable in variables:
            self.hidden[0][self._var_key(variable)] = self.slot(variable, "m")

    def momentum_of(self, variable):
        return self.hidden[0][self._var_key(variable)]


@pytest.mark.parametrize("kind", [ByKey, Nested, Listed])
def test_slots_in_a_dict_are_kept(kind):
    through, plain = (mlp(kind(), jit_compile=JIT) for _ in range(2))
    for model in (through, plain):
        fit(model, *data(3))
    freeze(through)
    unfreeze(through)
    for model in (through, plain):
        fit(model, *data(3))
    np.testing.assert_array_equal(weights(through), weights(plain))
    assert len(through.optimizer.variables) == 2 + 4 + 1


@pytest.mark.parametrize("kind", [ByKey, Nested])
def test_and_while_frozen(kind):
    model = mlp(kind(), jit_compile=JIT)
    fit(model, *data(3))
    optimizer, kernel = model.optimizer, model.layers[0].kernel
    slot = optimizer.momentum_of(kernel).numpy()
    freeze_to(model, 1)
    fit(model, *data(3))
    unfreeze(model)
    found = optimizer.momentum_of(kernel).numpy()
    np.testing.assert_array_equal(found, slot)
    assert float(optimizer.count) == pytest.approx(0.01 * (24 + 12))


def test_slots_that_would_be_lost_are_refused():
    model = mlp(Hidden(), jit_compile=JIT)
    path = model.optimizer.variables[3].path
    before = [layer.trainable for layer in model.layers]
    with pytest.raises(ValueError) as caught:
        freeze(model)
    assert str(caught.value) == (
        "The optimizer must keep what belongs to a variable in a list with an "
        "entry for each variable, or in a dict by `_var_key`: freezing would "
        "lose it elsewhere. Change its `build`. Received: optimizer=Hidden "
        f"with the variable {path}"
    )
    assert [layer.trainable for layer in model.layers] == before


@pytest.mark.parametrize(
    "kind",
    [
        # Before, it kept its slots by the paths of the variables.
        pytest.param(kind, marks=since("3.13"))
        if kind is keras.optimizers.Muon
        else kind
        for kind in ALL
    ],
)
def test_nothing_of_an_optimizer_of_keras_is_lost(kind):
    options = {"use_ema": True, "gradient_accumulation_steps": 2}
    optimizer = kind(0.1, **options)
    variables = [keras.Variable(np.ones((3, 2))), keras.Variable(np.ones(2))]
    optimizer.build(variables)
    check_rebindable(optimizer, variables)


@since("3.15")
def test_several_optimizers_are_refused_before_anything_changes():
    multi = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.SGD())
    )
    model = mlp(multi, jit_compile=JIT)
    for change in (freeze, unfreeze, lambda m: freeze_to(m, 1)):
        with pytest.raises(ValueError) as caught:
            change(model)
        assert str(caught.value) == (
            "The optimizer must be one optimizer: freezing builds it again, in "
            "place. Use `keras_fast.optimizers.DiscriminativeOptimizer` for a "
            "learning rate per group. Received: optimizer=MultiOptimizer"
        )
        assert [layer.trainable for layer in model.layers] == [True, True]
    fit(model, *data(2))
