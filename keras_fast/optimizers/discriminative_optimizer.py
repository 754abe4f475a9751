"""A separate learning rate for each variable."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_fast._checks import non_negative, several, whole
from keras_fast._keras.optimizers import (
    decays,
    moving_averages,
    spare,
    spares_others,
)
from keras_fast._keras.scaled_updates import scaled_updates

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

    The updates equal those of one optimizer per group, weight decay included.
    Attributes that the wrapper lacks, such as `learning_rate`, `weight_decay`,
    `clipnorm` and `momentum`, are read from and set on the inner optimizer. So
    every callback and schedule sets all rates at once and their ratios stay
    the same. A variable whose multiplier is 0 does not move.

    Args:
        inner_optimizer: Any Keras optimizer, or its name.
        multipliers: One number for each trainable variable, in the order of
            the model's variables. `keras_fast.layer_multipliers` computes
            them.
        name: Name of the optimizer.
        positions: Which of `multipliers` belong to the variables that are
            trainable at first. Written by `get_config()` if some are frozen.
        without_decay: Which of `multipliers` belong to variables excluded
            from weight decay. Written by `get_config()`, so that they stay
            excluded in a loaded model.

    Raises:
        ValueError: A multiplier is negative, or the optimizer can't be scaled.
            When it is built: the number of multipliers is not that of the
            variables.

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
        without_decay: Sequence[int] = (),
    ):
        inner_optimizer = keras.optimizers.get(inner_optimizer)
        if inner_optimizer is None:
            raise TypeError(
                "`inner_optimizer` must be a Keras optimizer. Pass one, such "
                "as `keras.optimizers.Adam()`. Received: inner_optimizer=None"
            )
        check_scalable("inner_optimizer", inner_optimizer)
        super().__init__(learning_rate=0.0, name=name)
        for each in list(vars(self)):
            if each in vars(inner_optimizer) and _forwarded(each):
                del self.__dict__[each]
        self.inner_optimizer = inner_optimizer
        # Not setattr: TensorFlow would wrap them as state of the optimizer.
        self.__dict__.update(
            _multipliers=[
                non_negative("multipliers", each)
                for each in several("multipliers", multipliers)
            ],
            _positions=None if positions is None else list(positions),
            # The variables they belong to, if the model was asked.
            _placed=tuple(getattr(multipliers, "variables", ())),
            _without_decay=[
                whole("without_decay", each, 0)
                for each in several("without_decay", without_decay)
            ],
        )

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("inner_optimizer")  # None during creation
        if inner is None or not _forwarded(name):
            raise AttributeError(f"{type(self).__name__} has no `{name}`")
        return getattr(inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        inner = self.__dict__.get("inner_optimizer")
        own = name in self.__dict__ or hasattr(type(self), name)
        if own or not _forwarded(name) or not hasattr(inner, name):
            super().__setattr__(name, value)
        else:
            setattr(inner, name, value)

    def build(self, var_list: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        positions = self._find(var_list)
        self.inner_optimizer.build(var_list)
        # Not the base class's method: it would average the weights again.
        self.__dict__.update(
            _positions=positions,
            _trainable_variables=list(var_list),
            _trainable_variables_indices={
                self._var_key(variable): i
                for i, variable in enumerate(var_list)
            },
        )
        self.built = True
        self._spare(dict(zip(positions, var_list, strict=True)))

    def place(self, variables: Sequence[keras.Variable]) -> None:
        """Declare which variables the multipliers belong to, in this order.

        `keras_fast.freeze_to` calls it: once all variables of the model are
        known, any of them can be frozen and unfrozen.
        """
        if len(variables) != len(self._multipliers):
            raise ValueError(self._mismatch(variables))
        self.__dict__["_placed"] = tuple(variables)
        self._spare(dict(enumerate(variables)))

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        if not self.built and trainable_variables is not None:
            with keras.name_scope(self.name):
                self.build(list(trainable_variables))
        # Only for this call: without the wrapper it is a plain optimizer.
        with scaled_updates(self.inner_optimizer, self._multiplier_of):
            self.inner_optimizer.apply(grads, trainable_variables)

    def exclude_from_weight_decay(
        self,
        var_list: Sequence[keras.Variable] | None = None,
        var_names: Sequence[str] | None = None,
    ) -> None:
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)
        self.__dict__["_without_decay"] = []

    @property
    def multipliers(self) -> list[float]:
        return list(self._multipliers)

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
    def _model_variables_moving_average(self) -> Any:
        # `SwapEMAWeights` swaps these if a LossScaleOptimizer is around it.
        return moving_averages(self.inner_optimizer)

    def set_weights(self, weights: Any) -> None:
        self.inner_optimizer.set_weights(weights)

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
        if without_decay := self._spared():
            config["without_decay"] = without_decay
        positions = self._positions
        if not self.built and self._placed:
            trained = enumerate(v.trainable for v in self._placed)
            positions = [i for i, trains in trained if trains]
        if positions is not None and len(positions) < len(self._multipliers):
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

    def multipliers_of(
        self, variables: Sequence[keras.Variable]
    ) -> list[float]:
        """The multipliers of these variables, if exactly they are trained."""
        return [self._multipliers[i] for i in self._find(variables)]

    def _find(self, variables: Sequence[keras.Variable]) -> list[int]:
        """The position of each variable's multiplier."""
        places = {id(v): i for i, v in enumerate(self._placed)}
        if all(id(v) in places for v in variables):
            return [places[id(v)] for v in variables]
        if len(variables) == len(self._multipliers):
            return list(range(len(variables)))
        positions = self._positions
        if positions is not None and len(positions) == len(variables):
            return positions
        raise ValueError(self._mismatch(variables))

    def _multiplier_of(self, variable: Any) -> float:
        position = self._positions[self._get_variable_index(variable)]
        return self._multipliers[position]

    def _spare(self, variables: dict[int, keras.Variable]) -> None:
        """Exclude the variables named in the config from weight decay."""
        named = [variables[i] for i in self._without_decay if i in variables]
        if named:
            spare(self.inner_optimizer, named)

    def _spared(self) -> list[int]:
        """Positions of the variables excluded from weight decay."""
        known = dict(enumerate(self._placed))
        if self.built:
            trained = self._trainable_variables
            known.update(zip(self._positions, trained, strict=True))
        inner = self.inner_optimizer
        all_known = len(known) == len(self._multipliers)
        if not all_known and spares_others(inner, known.values()):
            raise ValueError(
                "`multipliers` must know their variables before a config can "
                "say which of them weight decay spares. Pass what "
                "`keras_fast.layer_multipliers(model, ...)` returns, or call "
                "`optimizer.place(...)` with the `variables` of that. "
                f"Received: multipliers={self.multipliers}"
            )
        found = {i for i, v in known.items() if not decays(inner, v)}
        return sorted(found | {*self._without_decay})

    def _mismatch(self, variables: Sequence[Any]) -> str:
        return (
            "`multipliers` must have one number for each variable that can "
            "train. Pass what `keras_fast.layer_multipliers(model, ...)` "
            "returns for the model that is compiled; a list of its numbers "
            "does not tell which variables are frozen. To change them, pass "
            "`dataclasses.replace(multipliers, values=[...])`. Received: "
            f"multipliers={len(self._multipliers)} numbers for "
            f"{len(variables)} variables"
        )


def _forwarded(name: str) -> bool:
    """Whether this may be an attribute of the inner optimizer."""
    return name[0] != "_" and name not in ("built", "name")
