"""How does a language model continue a text?"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_fast._checks import model as checked
from keras_fast._checks import non_negative, several, shown, whole
from keras_fast._keras.compiled import compiled
from keras_fast._keras.layers import forget_losses
from keras_fast.inference._meaning import meaning_of_tokens
from keras_fast.inference._next_token import next_token

__all__ = ["TextGenerator"]

# As long as fastai's training windows.
LENGTH = 72


class TextGenerator:
    """Continues texts with a language model, token by token.

    It works with any model that maps ids to logits or probabilities of the next
    token. Which of the two they are is inferred from the model's end and its
    loss, as in `top_losses`; if neither tells, outputs that are not
    probabilities are taken as logits.

    The model is compiled once for each number of prompts, so keep the
    generator. It always uses the model's current weights: one made before
    `fit()` can be used during and after it. Make a new one after changes to the
    layers themselves, such as `enable_lora()` or `quantize()`.

    Args:
        model: A language model from ids (batch, length) to (batch, length,
            num_tokens), built, compiled or not. It must not look ahead.
            Nothing in it changes.
        temperature: Logits are divided by it. Below 1, probable tokens become
            more probable; 0 always takes the most probable token.
        top_k: Only the `top_k` most probable tokens are sampled; None samples
            all.
        stop: The id after which a text ends, or None.
        exclude: Ids that are never sampled, such as those of padding and of
            unknown words.
        length: How many of the last tokens the model sees. If None, the
            length of the model's input if that is fixed, otherwise 72.

    Raises:
        ValueError: An argument is out of range, or the model is not built or
            has several inputs.
        TypeError: `top_k`, `stop`, `length` or an id is not a whole number.

    Examples:
        >>> lm = keras_fast.models.language_model(
        ...     10, embedding_size=8, units=16, num_layers=2
        ... )
        >>> generator = keras_fast.inference.TextGenerator(
        ...     lm, temperature=0.8, top_k=5, exclude=[0, 1]
        ... )
        >>> texts = generator.generate([[2, 3, 4], [5]], 6, seed=0)
        >>> [len(text) for text in texts]
        [9, 7]

    Reference:

    - fastai 2.8, `LMLearner.predict`
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        stop: int | None = None,
        exclude: Sequence[int] = (),
        length: int | None = None,
    ) -> None:
        self.model = checked(model)
        self.temperature = non_negative("temperature", temperature)
        self.top_k = None if top_k is None else whole("top_k", top_k)
        self.stop = None if stop is None else whole("stop", stop, 0)
        self.exclude = [
            whole("exclude", each, 0) for each in several("exclude", exclude)
        ]
        self.length = _length(model, length)
        self._run = compiled(self._outputs, model, model.variables)

    def generate(
        self,
        prompts: Sequence[ArrayLike],
        num_tokens: int,
        *,
        seed: int | None = None,
    ) -> list[np.ndarray]:
        """Continue each prompt.

        Args:
            prompts: A list of texts, each a list or array of one or more ids.
            num_tokens: How many tokens to add to each, at most.
            seed: Makes the texts repeatable; if None, they differ each time.
                No other random state is used or changed. Each prompt has
                random numbers of its own, whatever the other prompts are.

        Returns:
            The texts, one int32 array for each prompt: the prompt and what
            follows it, with `stop` where it was sampled.

        Raises:
            ValueError: A prompt is empty or has an id that the model doesn't
                know; all tokens are excluded; the outputs are no logits or
                probabilities, or not finite.
            TypeError: Ids are not whole numbers.
        """
        texts = _texts(prompts)
        for outputs in getattr(self.model, "outputs", None) or ():
            _check_known(texts, outputs.shape[-1])
        num_tokens = whole("num_tokens", num_tokens)
        if seed is not None:
            seed = whole("seed", seed, 0)
        seeds = np.random.SeedSequence(seed).spawn(len(texts))
        randoms = [np.random.default_rng(each) for each in seeds]
        unfinished = list(range(len(texts)))
        meaning = None
        for _ in range(num_tokens):
            outputs = self._next_outputs(texts)
            if meaning is None:
                meaning = self._meaning(outputs, texts)
            scores = self._allowed(meaning.scores(outputs), unfinished)
            for i in unfinished:
                how = (self.temperature, self.top_k, randoms[i])
                texts[i].append(next_token(scores[i], *how))
            unfinished = [i for i in unfinished if texts[i][-1] != self.stop]
            if not unfinished:
                break
        return [np.array(text, "int32") for text in texts]

    def _outputs(self, inputs: tuple[Any, Any]) -> Any:
        """The model's outputs at these places of all windows, concatenated."""
        windows, places = inputs
        outputs = self.model(windows, training=False)
        forget_losses(self.model)
        if len(getattr(outputs, "shape", ())) != 3:
            shapes = keras.tree.map_structure(lambda x: x.shape, outputs)
            raise ValueError(
                "`model` must return a score or a probability of each token "
                "at each place, (batch, length, num_tokens). Pass a language "
                f"model. Received: outputs={shapes}"
            )
        flat = ops.reshape(outputs, (-1, outputs.shape[-1]))
        found = ops.take(flat, ops.convert_to_tensor(places), axis=0)
        return ops.cast(found, "float32")

    def _next_outputs(self, texts: list[list[int]]) -> np.ndarray:
        """Outputs for the next token of each text, (texts, num_tokens)."""
        # Padded on the right: a model that doesn't look ahead won't see it.
        windows = np.zeros((len(texts), self.length), "int32")
        for window, text in zip(windows, texts, strict=True):
            seen = text[-self.length :]
            window[: len(seen)] = seen
        lengths = [min(len(text), self.length) for text in texts]
        places = np.arange(len(texts)) * self.length + lengths - 1
        found = self._run((windows, places.astype("int32")))
        return np.asarray(ops.convert_to_numpy(found), float)

    def _meaning(self, outputs: np.ndarray, texts: list[list[int]]) -> Any:
        _check_known(texts, outputs.shape[-1])
        meaning = meaning_of_tokens(self.model, outputs)
        if meaning.link != "softmax":
            raise ValueError(
                "`model` must return logits or probabilities of the next "
                "token. End it in a softmax, or compile it with "
                "`SparseCategoricalCrossentropy(from_logits=True)`. "
                f"Received: outputs from {outputs.min():.3g} to "
                f"{outputs.max():.3g}"
            )
        return meaning

    def _allowed(self, scores: np.ndarray, rows: list[int]) -> np.ndarray:
        if np.isnan(scores[rows]).any() or np.isposinf(scores[rows]).any():
            raise ValueError(
                "`model` must return finite outputs. Check its weights: "
                "training may have diverged. Received: outputs of NaN or inf"
            )
        scores = scores.copy()
        scores[:, [i for i in self.exclude if i < scores.shape[-1]]] = -np.inf
        if np.isneginf(scores[rows].max(axis=-1)).any():
            raise ValueError(
                "`exclude` must leave a token to sample. Pass fewer ids. "
                f"Received: exclude={shown(self.exclude)}"
            )
        return scores


def _length(model: keras.Model, length: int | None) -> int:
    inputs = getattr(model, "inputs", None)
    if not model.built or (inputs is not None and len(inputs) != 1):
        state = f"{len(inputs)} inputs" if inputs else "not built"
        raise ValueError(
            "`model` must be built and have one input, the ids of tokens. "
            "Call it on a batch of ids first; a model with several inputs "
            "needs one around it that makes them from ids. "
            f"Received: model={model.name} ({state})"
        )
    fixed = inputs[0].shape[1] if inputs and len(inputs[0].shape) > 1 else None
    if length is not None and fixed not in (None, whole("length", length)):
        raise ValueError(
            "`length` must be that of the model's input. Leave it out. "
            f"Received: length={length!r}, an input of {fixed} tokens"
        )
    return length or fixed or LENGTH


def _check_known(texts: list[list[int]], num_tokens: int | None) -> None:
    largest = max(map(max, texts))
    if num_tokens is not None and largest >= num_tokens:
        raise ValueError(
            f"`prompts` must have ids below {num_tokens}, the number of tokens "
            "that the model knows. Use its tokenizer. "
            f"Received: an id of {largest}"
        )


def _texts(prompts: Any) -> list[list[int]]:
    texts = [np.asarray(prompt) for prompt in several("prompts", prompts)]
    whole_numbers = all(text.dtype.kind in "iu" for text in texts if text.size)
    if not whole_numbers or any(text.ndim != 1 for text in texts):
        raise TypeError(
            "`prompts` must be a list of texts, each a list of the ids of its "
            "tokens. Pass one text as [text], and strings through your "
            f"tokenizer. Received: prompts={shown(prompts)}"
        )
    if not texts or any(not text.size or text.min() < 0 for text in texts):
        raise ValueError(
            "`prompts` must have texts of one id or more, and ids of 0 or "
            "more. Begin an empty text with the token that begins every text. "
            f"Received: prompts={shown(prompts)}"
        )
    return [text.tolist() for text in texts]
