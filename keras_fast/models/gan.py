"""How do two networks train against each other in a plain `fit()`?"""

from typing import Any

import keras
from keras import ops

from keras_fast.models._gan_checks import (
    MISSING,
    built_part,
    check_logits,
    check_parts,
    check_real,
    check_scores,
    check_y,
    refuse_penalties,
    turns,
    warn_of_momentum,
)

__all__ = ["GAN"]

# Below it a part is ahead and it is the other's turn. At log 2 = 0.69 the
# critic is undecided; fast.ai's course trains the critic down to this value.
ADAPTIVE_LOSS = 0.65


@keras.saving.register_keras_serializable("keras_fast")
class GAN(keras.Model):
    """A generator and a critic that train against each other.

    The critic learns to give real targets a high score and generated ones a
    low one, the generator to get a high score. Both train in each step of
    `fit(x, y)`, with the one optimizer of `compile()`: `x` is noise and `y`
    real images, or `x` is images and `y` the targets they should become.
    `call` and `predict` are the generator's.

    `compile(loss=...)` is an additional loss between the generated images and
    `y`, for the generator: of pixels or features, if each input has one
    target, weighted by `loss_weights`. Leave it out for a generator from
    noise.

    Compile with an optimizer without momentum, such as `Adam(beta_1=0)`, and
    pass `momentums=None` to `OneCycle`. Momentum follows where the other part
    was, not where it is now; and it moves a part that rests.

    Args:
        generator: A built model from `x` to images like `y`.
        critic: A built model from those to one score per image, (batch,) or
            (batch, 1), or to a map of scores (batch, height, width, 1), whose
            losses are averaged. Scores are logits: no sigmoid at the end.
        switch: Whose turn it is.

            - `"both"`: both train in each step. This equals one optimizer per
              part.
            - `(n_critic, n_generator)`: that many steps of the critic alone,
              then that many of the generator.
            - `"adaptive"`: a part trains alone until its adversarial loss is
              below 0.65, slightly better than undecided; then the other.

            With turns, an Adam-like optimizer is not the same as two that
            pause: its second moment decays while a part rests.
        **kwargs: Arguments of every model, such as `name`.

    Metrics:
        `critic_loss`: binary crossentropy of the critic, the mean of real and
        generated images. `generator_loss`: that of generated images labeled as
        real, plus the compiled loss. `loss` is their sum, whoever's turn it is.

    The critic runs in training mode in `evaluate()` too. Statistics that
    layers such as `BatchNormalization` keep are also updated in a part that
    rests.

    Raises:
        TypeError: A part is not a model.
        ValueError: A part is not built, the critic's output is not a score, it
            can't take the generator's images, or `switch` is none of these;
            with turns, a part has penalties on its weights, which would move
            it while it rests. When training begins: there is no `y`.

    Examples:
        >>> generator = keras.Sequential(
        ...     [keras.Input((2,)), keras.layers.Dense(2)]
        ... )
        >>> critic = keras.Sequential(
        ...     [
        ...         keras.Input((2,)),
        ...         keras.layers.Dense(8, "relu"),
        ...         keras.layers.Dense(1),
        ...     ]
        ... )
        >>> gan = keras_fast.models.GAN(generator, critic)
        >>> gan.compile(keras.optimizers.Adam(1e-3, beta_1=0))
        >>> noise = np.random.default_rng(0).normal(size=(16, 2))
        >>> history = gan.fit(noise, noise + 1, verbose=0)
        >>> sorted(history.history)
        ['critic_loss', 'generator_loss', 'loss']
        >>> gan.predict(noise, verbose=0).shape
        (16, 2)

    Reference:

    - [Goodfellow et al., 2014](https://arxiv.org/abs/1406.2661)
    - fastai 2.8, `GANLearner`, `FixedGANSwitcher`, `AdaptiveGANSwitcher`
    """

    def __init__(
        self,
        generator: keras.Model,
        critic: keras.Model,
        *,
        switch: Any = "both",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generator = built_part("generator", generator)
        self.critic = built_part("critic", critic)
        if getattr(critic, "outputs", None):
            check_scores(critic, [x.shape for x in critic.outputs])
            check_logits(critic)
        check_parts(generator, critic)
        self.switch = turns(switch)
        self._critic_metric = keras.metrics.Mean("critic_loss")
        self._generator_metric = keras.metrics.Mean("generator_loss")
        self._crossentropy = keras.losses.BinaryCrossentropy(from_logits=True)
        if self.switch != "both":
            refuse_penalties(generator, critic)
            # For a pair: the number of steps over all turns. For "adaptive":
            # 1 if it is the generator's turn.
            self._turn = self.add_weight(
                shape=(),
                initializer="zeros",
                dtype="int32",
                trainable=False,
                aggregation="only_first_replica",
                name="turn",
            )
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.generator(inputs, training=training)

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, **kwargs: Any
    ) -> None:
        """As `keras.Model.compile`, with a warning if momentum would harm."""
        super().compile(optimizer, loss, **kwargs)
        warn_of_momentum(self.optimizer, rests=self.switch != "both")

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any):
        """As `keras.Model.fit`. Noise or images as `x`, real images as `y`."""
        check_y(x, y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any):
        """As `keras.Model.evaluate`; nothing trains."""
        check_y(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def export(self, *args: Any, **kwargs: Any):
        """Export the generator, the part that is called in production."""
        return self.generator.export(*args, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        # Keras leaves this to classes that override `compile`.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        if y is None:
            raise ValueError(MISSING)
        check_real(y, y_pred)
        critic, generator, state = self._adversarial(y, y_pred, sample_weight)
        made = generator
        if self._compile_loss is not None or self.losses:
            others: Any = super().compute_loss(
                x, y, y_pred, sample_weight, training
            )
            made = generator + others
        loss: Any = critic + made
        size = ops.shape(y_pred)[0]
        self._critic_metric.update_state(critic, sample_weight=size)
        self._generator_metric.update_state(made, sample_weight=size)
        if not training:
            return loss
        self._keep(state)
        if self.switch == "both":
            return loss
        of_generator = self._is_generators_turn()
        self._next_turn(critic, generator, of_generator)
        # Not a product: PyTorch would keep the turn itself for the gradient,
        # but the turn changes before the gradient is computed.
        critic = ops.where(of_generator, ops.stop_gradient(critic), critic)
        made = ops.where(of_generator, made, ops.stop_gradient(made))
        return ops.add(critic, made)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "generator": serialize(self.generator),
            "critic": serialize(self.critic),
            "switch": self.switch,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None):
        deserialize = keras.saving.deserialize_keras_object
        parts = {
            name: deserialize(config[name], custom_objects)
            for name in ("generator", "critic")
        }
        return cls(**{**config, **parts})

    def _adversarial(self, real: Any, fake: Any, weight: Any) -> Any:
        """The critic's loss, the generator's alone, and the critic's state."""
        # Stateless, so that the critic changes after everything is computed:
        # PyTorch has no gradient through weights that change between two
        # calls, as those of spectral normalization do.
        critic = self.critic
        weights = [v.value for v in critic.trainable_variables]
        state = [v.value for v in critic.non_trainable_variables]
        of_real, state = _scores(critic, weights, state, real)
        of_fake, state = _scores(
            critic, weights, state, ops.stop_gradient(fake)
        )
        resting = [ops.stop_gradient(value) for value in weights]
        of_made, _ = _scores(critic, resting, state, fake)

        def loss(scores: Any, is_real: bool) -> Any:
            wanted = ops.full_like(scores, float(is_real))
            return self._crossentropy(wanted, scores, weight)

        critics = (loss(of_real, True) + loss(of_fake, False)) / 2
        return critics, loss(of_made, True), state

    def _keep(self, state: Any) -> None:
        """Store the critic's non-trainable state."""
        held = self.critic.non_trainable_variables
        for variable, value in zip(held, state, strict=True):
            variable.assign(value)

    def _is_generators_turn(self) -> Any:
        turn: Any = self._turn.value
        return turn >= (1 if self.switch == "adaptive" else self.switch[0])

    def _next_turn(
        self, critic: Any, generator: Any, is_generators: Any
    ) -> None:
        """Decide whose turn is next, from the losses of this step."""
        if self.switch != "adaptive":
            self._turn.assign((self._turn.value + 1) % sum(self.switch))
            return
        loss: Any = ops.where(is_generators, generator, critic)
        others = ops.logical_xor(is_generators, loss < ADAPTIVE_LOSS)
        self._turn.assign(ops.cast(others, "int32"))


def _scores(critic: Any, weights: Any, state: Any, images: Any) -> Any:
    """The critic's scores with these weights, (batch, n), and its new state."""
    # In evaluation too: a critic normalized by its batch, or with normalized
    # kernels, gives other scores outside of training.
    scores, state = critic.stateless_call(weights, state, images, training=True)
    check_scores(critic, [x.shape for x in keras.tree.flatten(scores)])
    batch: Any = ops.shape(scores)[0]
    return ops.cast(ops.reshape(scores, (batch, -1)), "float32"), state
