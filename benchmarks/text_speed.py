"""How fast does a language model train, and how far in one epoch?

    pip install torch && pip install fastai==2.8.12
    python benchmarks/text_speed.py FOLDER_OF_BROWN [--write]

A step of `language_model` (forward, backward, Adam), against the same network
with Keras's plain LSTM, and against fastai's AWD-LSTM on PyTorch with its
penalties, in one process. Then one epoch of both on 560,000 tokens of the
Brown corpus, the same ids, sizes, windows, and rates of one cycle, and their
perplexity on the last tenth. fastai's network carries its state from window to
window, ours does not, so fastai's is trained once more without. And ours is
trained once more with the epsilon that Keras's Adam has by default.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import sys
import time

import _texts
import keras
import numpy as np
import torch
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config
from fastai.text.models.core import get_language_model

from keras_fast.callbacks import OneCycle
from keras_fast.data import TextStream
from keras_fast.layers import WeightDropLSTM
from keras_fast.models import language_model

torch.set_num_threads(1)
LENGTH = 72
SIZES = {"embedding_size": 128, "units": 256, "num_layers": 2}
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BROWN = {"words": 4000, "batch_size": 16, "max_lr": 8e-3, "tokens": 560_000}


class PlainLSTM(keras.layers.LSTM):
    """In the place of a WeightDropLSTM."""

    def __init__(self, units, weight_dropout=0.0, **arguments):
        super().__init__(units, **arguments)


def ours(size, plain=False, epsilon=1e-8):
    model = language_model(size, **SIZES)
    if plain:

        def plainly(layer):
            kind = type(layer)
            if isinstance(layer, WeightDropLSTM):
                kind = PlainLSTM
            return kind.from_config(layer.get_config())

        model = keras.models.clone_model(model, clone_function=plainly)
    model.compile(keras.optimizers.Adam(epsilon=epsilon), CROSSENTROPY)
    return model


class FastAI:
    """Its language model in a plain loop of PyTorch."""

    def __init__(self, size):
        config = {
            **awd_lstm_lm_config,
            "emb_sz": SIZES["embedding_size"],
            "n_hid": SIZES["units"],
            "n_layers": SIZES["num_layers"],
        }
        self.model = get_language_model(AWD_LSTM, size, config)
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def loss(self, x, y):
        logits, raw, dropped = self.model(torch.from_numpy(x).long())
        y = torch.from_numpy(y).long().flatten()
        flat = logits.reshape(-1, logits.shape[-1])
        return torch.nn.functional.cross_entropy(flat, y), raw, dropped

    def step(self, x, y, rate=1e-3, momentum=0.9):
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = rate, (momentum, 0.999)
        loss, raw, dropped = self.loss(x, y)
        loss = loss + 2 * dropped.float().pow(2).mean()
        loss = loss + (raw[:, 1:] - raw[:, :-1]).float().pow(2).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def perplexity(self, stream):
        self.model.eval()
        self.model.reset()
        with torch.no_grad():
            losses = [float(self.loss(x, y)[0]) for x, y in batches(stream)]
        self.model.train()
        return float(np.exp(np.mean(losses)))


def batches(stream):
    return (stream[i] for i in range(stream.num_batches))


def pace(size=8000, batch_size=64, steps=5, pairs=7):
    """Tokens a CPU second."""
    ids = np.random.default_rng(0).integers(0, size, 2 * batch_size * LENGTH)
    x, y = TextStream(ids, batch_size, LENGTH, seed=0)[0]
    dropped, plain, fastai = ours(size), ours(size, plain=True), FastAI(size)

    def repeated(step):
        return lambda: [step(x, y) for _ in range(steps)]

    functions = [plain.train_on_batch, dropped.train_on_batch, fastai.step]
    seconds = measure.interleaved([*map(repeated, functions)], pairs)
    tokens = steps * batch_size * LENGTH / np.median(seconds, axis=0)
    names = ["plain LSTM", "`language_model`", "fastai's AWD-LSTM"]
    rows = []
    for k, name in enumerate(names):
        times = measure.shown(1 / measure.ratio(seconds, k)[[0, 2, 1]])
        rows.append([name, f"{tokens[k]:,.0f}", times if k else "1"])
    share = 1 / measure.ratio(seconds, 1, base=2)[0]
    met = "met" if share >= 1.3 else "missed"
    rows[1].append(f"{share:.2f} of fastai's, {met} (≥ 1.3)")
    head = ["network", "tokens a CPU second", "of the plain LSTM's", "goal"]
    return measure.table(head, [[*row, ""][:4] for row in rows])


def brown(folder):
    """Perplexity after one epoch, and its CPU seconds."""
    texts = _texts.brown(folder)
    tokenizer = _texts.Vocabulary(texts, BROWN["words"])
    texts = [tokenizer(text) for text in texts]
    order = np.random.default_rng(0).permutation(len(texts))
    ids = np.concatenate([texts[i] for i in order])
    train, valid = np.split(ids[: BROWN["tokens"]], [BROWN["tokens"] * 9 // 10])
    size = BROWN["batch_size"]
    train = TextStream(train, size, LENGTH, shuffle=False)
    valid = TextStream(valid, size, LENGTH, shuffle=False)
    cycle = OneCycle(BROWN["max_lr"], momentums=(0.8, 0.7, 0.8))
    rows = {}
    for seed in range(3):
        for epsilon in (1e-8, 1e-7):
            keras.utils.set_random_seed(seed)
            model = ours(BROWN["words"], epsilon=epsilon)
            start = time.process_time()
            model.fit(train, verbose=0, callbacks=[cycle])
            seconds = time.process_time() - start
            reached = np.exp(model.evaluate(valid, verbose=0))
            name = f"`language_model`, Adam's epsilon {epsilon:g}"
            rows.setdefault(name, []).append((reached, seconds))
        values = cycle.curve(train.num_batches, 1)
        for kept in (True, False):
            torch.manual_seed(seed)
            other = FastAI(BROWN["words"])
            start = time.process_time()
            for i, (x, y) in enumerate(batches(train)):
                if not kept:
                    other.model.reset()
                other.step(x, y, *(values[v][i] for v in values))
            seconds = time.process_time() - start
            name = "fastai's AWD-LSTM" + (", without its state" * (not kept))
            rows.setdefault(name, []).append((other.perplexity(valid), seconds))
        print(
            {name: np.round(x[-1], 1) for name, x in rows.items()}, flush=True
        )
    head = ["one epoch of Brown", "perplexity", "CPU s"]
    medians = [(name, *np.median(x, axis=0)) for name, x in rows.items()]
    return measure.table(
        head, [[name, f"{a:.0f}", f"{b:.0f}"] for name, a, b in medians]
    )


def main():
    tables = pace(), brown(sys.argv[1])
    measure.report("text_speed", "\n\n".join(tables))


if __name__ == "__main__":
    main()
