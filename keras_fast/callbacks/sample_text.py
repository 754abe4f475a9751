"""What does a language model write after each epoch?"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_fast._checks import function, several, whole

Generate = Callable[..., Sequence[Any]]


class SampleText(keras.callbacks.Callback):
    """Prints what a language model writes after each epoch.

    Perplexity shows that a model improves; its texts show how. They are
    printed below the epoch's progress bar and kept in `texts`.

    One token is sampled before the first epoch, so a prompt or a decoder that
    does not fit fails at once.

    Training is not affected: a `TextGenerator` uses only its own random state,
    and the trained weights are bit for bit the same as without this callback.

    Args:
        generate: `keras_fast.inference.TextGenerator(model).generate` of the
            model in training, or any function that takes
            `(prompts, num_tokens, seed=seed)` and returns the ids of a text
            for each prompt.
        prompts: A list of texts, each a list or array of ids.
        num_tokens: How many tokens to add to each.
        decode: A function from the ids of a text to a string, such as that of
            your tokenizer; None shows the ids.
        every: Number of epochs between samples.
        seed: Used after each epoch, so that texts differ only by what the
            model has learned; None for new random numbers each time.
        write: A function to call with each text, such as `logger.info`.

    Attributes:
        texts: A dict from the epoch's number, counted from 0, to a list of
            strings. A new `fit()` empties it.

    Raises:
        TypeError: `generate`, `decode` or `write` is not a function.
        ValueError: A number is out of range, or there is no prompt. When
            training begins or an epoch ends, as `generate` raises: a prompt
            has an unknown id, or the model's outputs are NaN.

    Examples:
        >>> from keras_fast import callbacks, data, inference, models
        >>> words = "_ ? the cat sat on a mat".split()
        >>> lm = models.language_model(
        ...     len(words), embedding_size=8, units=16, num_layers=2
        ... )
        >>> lm.compile(
        ...     "adam",
        ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ... )
        >>> stream = data.TextStream([[2, 3, 4, 5, 2, 7, 2, 3]], 1, length=3)
        >>> generator = inference.TextGenerator(lm, exclude=[0, 1])
        >>> samples = callbacks.SampleText(
        ...     generator.generate,
        ...     prompts=[[2, 3]],
        ...     num_tokens=4,
        ...     decode=lambda ids: " ".join(words[i] for i in ids),
        ...     write=lambda text: None,
        ... )
        >>> history = lm.fit(stream, epochs=2, verbose=0, callbacks=[samples])
        >>> sorted(samples.texts)
        [0, 1]
        >>> samples.texts[1][0].split()[:2]
        ['the', 'cat']
    """

    def __init__(
        self,
        generate: Generate,
        prompts: Sequence[Any],
        num_tokens: int = 30,
        *,
        decode: Callable[[Any], str] | None = None,
        every: int = 1,
        seed: int | None = 0,
        write: Callable[[str], Any] = print,
    ) -> None:
        super().__init__()
        self.generate = function("generate", generate)
        self.prompts = several("prompts", prompts)
        if not self.prompts:
            raise ValueError(
                "`prompts` must have a text. Pass the token that begins every "
                "text, if there is no other. Received: prompts=[]"
            )
        self.num_tokens = whole("num_tokens", num_tokens)
        self.decode = ids_as_text if decode is None else decode
        function("decode", self.decode)
        self.every = whole("every", every)
        self.seed = None if seed is None else whole("seed", seed, 0)
        self.write = function("write", write)
        self.texts: dict[int, list[str]] = {}
        self._unwritten: list[str] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.texts = {}
        self._unwritten = []
        # A faulty prompt or decoder should fail now, not after an epoch.
        self._sampled(num_tokens=1)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._write()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if (epoch + 1) % self.every:
            return
        self.texts[epoch] = self._unwritten = self._sampled(self.num_tokens)

    def on_train_end(self, logs: Any = None) -> None:
        self._write()

    def _sampled(self, num_tokens: int) -> list[str]:
        self.model  # noqa: B018  on JAX this brings the variables up to date
        texts = self.generate(self.prompts, num_tokens, seed=self.seed)
        return [self.decode(text) for text in texts]

    def _write(self) -> None:
        # Not at the end of the epoch: its progress bar still owns the line.
        texts, self._unwritten = self._unwritten, []
        for text in texts:
            self.write(text)


def ids_as_text(ids: Any) -> str:
    """The ids as a string, used without a decoder."""
    return " ".join(map(str, np.ravel(ids).tolist()))
