"""Can these networks, turns and this optimizer make a GAN?"""

import warnings
from typing import Any

import keras
import numpy as np

from keras_fast._checks import whole
from keras_fast._keras.live import own
from keras_fast._keras.unwrap import chain
from keras_fast.transfer.ends import end

__all__ = [
    "MISSING",
    "built_part",
    "check_logits",
    "check_parts",
    "check_real",
    "check_scores",
    "check_y",
    "refuse_penalties",
    "turns",
    "warn_of_momentum",
]

MISSING = (
    "`y` must be real images, or the target of each input. Call "
    "`fit(noise, images)` or `fit(images, targets)`. Received: y=None"
)


def built_part(name: str, part: Any) -> keras.Model:
    """Return a model that has its weights."""
    if not isinstance(part, keras.Model):
        raise TypeError(
            f"`{name}` must be a Keras model. Pass the model. "
            f"Received: {name}={part!r}"
        )
    if not part.built:
        raise ValueError(
            f"`{name}` must be built. Give it an Input. "
            f"Received: {name}={part.name} (not built)"
        )
    return part


def check_scores(critic: keras.Model, shapes: list[Any]) -> None:
    """Refuse an output that is neither one score per sample nor a score map."""
    shape: tuple[Any, ...] = tuple(shapes[0]) if len(shapes) == 1 else ()
    if len(shape) != 1 and (len(shape) not in (2, 4) or shape[-1] != 1):
        raise ValueError(
            "`critic` must give each sample one score, (batch, 1), or a map of "
            "scores, (batch, height, width, 1). End it with `Flatten()` and "
            f"`Dense(1)`. Received: critic={critic.name} with outputs of shape "
            f"{[tuple(x) for x in shapes]}"
        )


def check_logits(critic: keras.Model) -> None:
    """Refuse probabilities."""
    last = end(critic)
    if last is not None:
        raise ValueError(
            f"`critic` must give logits. Leave out the {last.link} at its end, "
            "which is part of the loss. "
            f"Received: critic={critic.name}, which ends in a {last.link}"
        )


def check_parts(generator: keras.Model, critic: keras.Model) -> None:
    """Refuse a critic that can't take the generator's images."""
    own = {id(variable) for variable in generator.variables}
    if any(id(variable) in own for variable in critic.variables):
        raise ValueError(
            "`critic` must have no weights of the generator: each trains "
            "against the other. Pass two networks. Received: "
            f"generator={generator.name}, critic={critic.name}"
        )
    made = [x.shape for x in getattr(generator, "outputs", None) or []]
    taken = [x.shape for x in getattr(critic, "inputs", None) or []]
    if not made or not taken:
        return  # known only when they are called
    if not len(made) == len(taken) == 1 or not same_size(made[0], taken[0]):
        raise ValueError(
            "`critic` must take what the generator makes, one output. Pass "
            f"parts that fit. Received: generator={generator.name} with "
            f"outputs of shape {[tuple(x) for x in made]}, "
            f"critic={critic.name} with inputs of shape "
            f"{[tuple(x) for x in taken]}"
        )


def check_real(real: Any, made: Any) -> None:
    """Refuse real images whose size differs from the generated ones."""
    if not same_size(real.shape, made.shape):
        raise ValueError(
            "`y` must be like what the generator makes. Resize it, or change "
            f"the generator. Received: y of shape {tuple(real.shape)}, "
            f"made of shape {tuple(made.shape)}"
        )


def same_size(first: Any, second: Any) -> bool:
    """Whether two shapes are equal as far as known, except for the batch."""
    return len(first) == len(second) and all(
        None in pair or pair[0] == pair[1]
        for pair in zip(first[1:], second[1:], strict=True)
    )


def check_y(x: Any, y: Any) -> None:
    """Refuse arrays without targets, before training takes the weights."""
    if y is None and any(hasattr(part, "shape") for part in _parts(x)):
        raise ValueError(MISSING)


def _parts(x: Any) -> Any:
    return x if isinstance(x, list | tuple) else [x]


def turns(switch: Any) -> Any:
    """The turns, in the form that `GAN` keeps."""
    if isinstance(switch, str):
        if switch in ("both", "adaptive"):
            return switch
    elif isinstance(switch, list | tuple) and len(switch) == 2:
        return tuple(whole("switch", number) for number in switch)
    raise ValueError(
        "`switch` must be 'both', 'adaptive' or a pair (n_critic, "
        "n_generator). Pass (5, 1) for five steps of the critic before each "
        f"of the generator. Received: switch={switch!r}"
    )


def refuse_penalties(generator: keras.Model, critic: keras.Model) -> None:
    """Refuse penalties: they would move a part while it rests."""
    for name, part in (("generator", generator), ("critic", critic)):
        if part.losses:
            raise ValueError(
                f"`{name}` must have no regularizers where parts take turns: "
                "they would move it while it rests. Leave them out, or take "
                f"switch='both'. Received: {name}={part.name} with "
                f"{len(part.losses)} penalties"
            )


def warn_of_momentum(optimizer: Any, *, rests: bool) -> None:
    """Warn of momentum, and of weight decay if a part rests."""
    leaf: Any = chain(optimizer)[-1]
    why = (
        "The gradient of a part that rests is zero, so {} alone moves it"
        if rests
        else "It goes on where the other part was, which has moved since, and "
        "what is generated may collapse into one kind"
    )
    for each in getattr(leaf, "optimizers", [leaf]):
        kind = type(each).__name__
        momentum = np.nan_to_num(own(each, "momentum"))
        decay = np.nan_to_num(own(each, "weight_decay"))
        if momentum:
            name = "beta_1" if hasattr(each, "beta_1") else "momentum"
            warnings.warn(
                f"A GAN should train without momentum. {why.format('momentum')}"
                f". Pass `{name}=0`. Received: optimizer={kind} with "
                f"{name}={momentum:g}",
                stacklevel=3,
            )
        if decay and rests:
            warnings.warn(
                "A GAN whose parts take turns should train without weight "
                f"decay. {why.format('decay')}. Leave it out, or take "
                f"switch='both'. Received: optimizer={kind} with "
                f"weight_decay={decay:g}",
                stacklevel=3,
            )
