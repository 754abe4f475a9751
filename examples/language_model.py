"""A language model of 4,000 reviews, which the tutorial on texts begins with.

    pip install ".[tables,text]"
    python examples/language_model.py

Writes `data/reviews`: the weights in half precision, and the tokenizer. Takes
six minutes on a CPU.
"""

from pathlib import Path

import keras
import numpy as np
from text_classification import SEED, learn_language, reviews, tokenizer_of

FOLDER = Path(__file__).parent / "data" / "reviews"
EPOCHS = 6


def main():
    keras.utils.set_random_seed(SEED)
    (texts, _), _ = reviews()
    tokenizer = tokenizer_of(texts)
    model = learn_language(texts, tokenizer, EPOCHS)
    FOLDER.mkdir(exist_ok=True)
    tokenizer.save(str(FOLDER / "tokenizer.json"), pretty=False)
    weights = [value.astype("float16") for value in model.get_weights()]
    np.savez_compressed(FOLDER / "language_model.npz", *weights)


if __name__ == "__main__":
    main()
