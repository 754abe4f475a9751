"""Which token comes next? In NumPy: the same on every backend."""

import numpy as np

__all__ = ["next_token"]


def next_token(
    scores: np.ndarray,
    temperature: float,
    top_k: int | None,
    random: np.random.Generator,
) -> int:
    """The id of one token.

    Args:
        scores: Logits or logarithms of probabilities, (tokens,) float64; -inf
            for an excluded token.
        temperature: Scores are divided by it; 0 takes the most probable token.
        top_k: Sample only the `top_k` most probable tokens; None for all.
        random: The random generator.
    """
    if temperature == 0:
        return int(scores.argmax())
    if top_k is not None and top_k < len(scores):
        kept = np.argsort(-scores, kind="stable")[:top_k]
    else:
        kept = np.arange(len(scores))
    powers = np.exp((scores[kept] - scores.max()) / temperature)
    return int(random.choice(kept, p=powers / powers.sum()))
