"""Another learning rate for each variable."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_fast._checks import non_negative, several
from keras_fast._rebind import scale_updates

REFUSED = {
    "LossScaleOptimizer": "Wrap it the other way round: Keras does so itself "
    "under `mixed_float16`.",
    "MultiOptimizer": "Pass one optimizer: the multipliers make the groups.",
    "ScheduleFreeAdamW": "Its update is not proportional to the rate. Pass "
    "`AdamW`.",
    "DiscriminativeOptimizer": "Pass the optimizer that is inside.",
}


def check_scalable(name: str, optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that can't have a rate for each variable."""
    for kind in type(optimizer).__mro__:
        if kind.__name__ in REFUSED:
            raise ValueError(
                f"`{name}` must be one that updates in proportion to one "
                f"learning rate. {REFUSED[kind.__name__]} "
                f"Received: {name}={kind.__name__}"
            )


@keras.saving.register_keras_serializable("keras_fast")
class DiscriminativeOptimizer(keras.optimizers.Optimizer):
    """Updates each variable at its own multiple of one learning rate.

    The updates equal those of one optimizer a group, weight decay included.
    `learning_rate` is that of the optimizer within, so every callback and
    schedule sets all rates at once and their ratios stay.

    Args:
        inner_optimizer: Any Keras optimizer, or its name.
        multipliers: One number for each variable that can train, in the order
            of the model's variables. `keras_fast.layer_multipliers` makes
            them.
        name: Name of the optimizer.
        positions: Which of `multipliers` belong to the variables that train
            at first. Written by `get_config()` where some are frozen.

    Raises:
        ValueError: A negative multiplier, or an optimizer that can't be
            scaled. When it is built: the number of multipliers is not that of
            the variables.

    Examples:
        >>> from keras_fast.optimizers import DiscriminativeOptimizer
        >>> rates = slice(1e-4, 1e-2)
        >>> multipliers = keras_fast.layer_multipliers(model, rates)
        >>> adam = keras.optimizers.Adam(1e-2)
        >>> optimizer = DiscriminativeOptimizer(adam, multipliers)
        >>> model.compile(optimizer, loss="mse")
        >>> history = model.fit(x, y, verbose=0)

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        multipliers: Sequence[float],
        name: str | None = None,
        positions: Sequence[int] | None = None,
    ):
        inner_optimizer = keras.optimizers.get(inner_optimizer)
        if inner_optimizer is None:
            raise TypeError(
                "`inner_optimizer` must be a Keras optimizer. Pass one, such "
                "as `keras.optimizers.Adam()`. Received: inner_optimizer=None"
            )
        check_scalable("inner_optimizer", inner_optimizer)
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        # Not setattr: TensorFlow would wrap them as state of the optimizer.
        self.__dict__.update(
            multipliers=[
                non_negative("multipliers", each)
                for each in several("multipliers", multipliers)
            ],
            _positions=None if positions is None else list(positions),
            _by_key={},
            # The variables they are for, if the model was asked. A tuple: a
            # list of variables is one of slots.
            _placed=tuple(getattr(multipliers, "variables", ())),
        )
        scale_updates(inner_optimizer, self._multiplier_of)

    def build(self, var_list: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        positions = self._find(var_list)
        by_key = {
            self.inner_optimizer._var_key(variable): self.multipliers[place]
            for variable, place in zip(var_list, positions, strict=True)
        }
        self.__dict__.update(_positions=positions, _by_key=by_key)
        self.inner_optimizer.build(var_list)
        super().build(var_list)

    def place(self, variables: Sequence[keras.Variable]) -> None:
        """Say which variables the multipliers belong to, in this order.

        `keras_fast.freeze_to` does: with all variables of the model known,
        any of them can be frozen and set free again.
        """
        if len(variables) != len(self.multipliers):
            raise ValueError(self._mismatch(variables))
        self.__dict__["_placed"] = tuple(variables)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        if not self.built and trainable_variables is not None:
            with keras.name_scope(self.name):
                self.build(list(trainable_variables))
        self.inner_optimizer.apply(grads, trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        return self.inner_optimizer.variables

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    @property
    def loss_scale_factor(self) -> float | None:
        inner = self.__dict__.get("inner_optimizer")  # none while it is made
        return inner.loss_scale_factor if inner is not None else None

    @loss_scale_factor.setter
    def loss_scale_factor(self, factor: float | None) -> None:
        if "inner_optimizer" in self.__dict__:
            self.inner_optimizer.loss_scale_factor = factor

    def scale_loss(self, loss: Any) -> Any:
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Any) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        config = {
            "name": self.name,
            "inner_optimizer": inner,
            "multipliers": self.multipliers,
        }
        positions = self._positions
        if not self.built and self._placed:
            trained = enumerate(v.trainable for v in self._placed)
            positions = [i for i, trains in trained if trains]
        if positions is not None and len(positions) < len(self.multipliers):
            config["positions"] = positions
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> "DiscriminativeOptimizer":
        config = dict(config)
        inner = keras.saving.deserialize_keras_object(
            config.pop("inner_optimizer"), custom_objects=custom_objects
        )
        return cls(inner, **config)

    def _find(self, variables: Sequence[keras.Variable]) -> list[int]:
        """The position of each variable's multiplier."""
        places = self._places()
        if all(id(v) in places for v in variables):
            return [places[id(v)] for v in variables]
        if len(variables) == len(self.multipliers):
            return list(range(len(variables)))
        positions = self._positions
        if positions is not None and len(positions) == len(variables):
            return positions
        raise ValueError(self._mismatch(variables))

    def _multiplier_of(self, variable: Any) -> float:
        key = self.inner_optimizer._var_key(variable)
        if key not in self._by_key:  # before it is built
            return self.multipliers[self._places()[id(variable)]]
        return self._by_key[key]

    def _places(self) -> dict[int, int]:
        return {id(v): i for i, v in enumerate(self._placed)}

    def _mismatch(self, variables: Sequence[Any]) -> str:
        return (
            "`multipliers` must have one number for each variable that can "
            "train. Make them with `keras_fast.layer_multipliers(model, ...)` "
            "from the model that is compiled. Received: "
            f"multipliers={len(self.multipliers)} numbers for "
            f"{len(variables)} variables"
        )
