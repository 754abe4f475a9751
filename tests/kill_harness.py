"""Trains in children of one process, kills them, and lets others go on.

    python kill_harness.py SEED SIGNAL:RUNS:KILLS:SAVE_FREQ ...

TensorFlow is imported once, by a parent that runs none of its operations:
it could not fork after one. Prints what happened as JSON.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time

import keras
import tensorflow as tf
from helpers import adam, data, digest, mlp

from keras_fast.callbacks import SGDR, ResumableCheckpoint

EPOCHS, BATCHES = 6, 10
AHEAD = 4  # batches that a training may be ahead of who kills it


class Tell(keras.callbacks.Callback):
    """Writes down each batch before it can be saved.

    From batch `until` on it waits for a signal, so that a parent that is slow
    to kill finds the training where it wants it.
    """

    def __init__(self, pipe, until):
        super().__init__()
        self.pipe, self.until = pipe, until
        # Python writes to it when a signal comes, to whichever thread.
        self.heard, hears = os.pipe()
        os.set_blocking(hears, False)
        signal.set_wakeup_fd(hears)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        number = self.epoch * BATCHES + batch
        os.write(self.pipe, b"%d\n" % number)
        if number >= self.until:
            os.read(self.heard, 1)


def train(path, save_freq, pipe, until):
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    model = mlp(adam(), keras.layers.Dropout(0.3))
    x, y = data(BATCHES)
    model.fit(
        x,
        y,
        batch_size=4,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[
            SGDR(0.05, cycle_len=1.5),
            Tell(pipe, until),
            ResumableCheckpoint(path, save_freq=save_freq),
        ],
    )
    os.write(pipe, f"{digest(model)}\n".encode())


def start(path, save_freq, until=EPOCHS * BATCHES):
    """A child that trains, and the lines that it writes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, os.fdopen(reading)
    code = 1
    try:
        os.close(reading)
        train(path, save_freq, writing, until)
        code = 0
    except KeyboardInterrupt:
        code = 130
    finally:
        os._exit(code)


def finish(path, save_freq):
    child, lines = start(path, save_freq)
    *batches, found = lines.read().split()
    assert os.waitpid(child, 0)[1] == 0
    return found, batches


def run(number, kills, save_freq, rng, wanted):
    """Whether one training came to the same, and batches lost a kill."""
    lost, ends, done = [], [], -1
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "save")
        last = (EPOCHS - 2) * BATCHES
        for target in sorted(rng.sample(range(last), kills)):
            child, lines = start(path, save_freq, target + AHEAD)
            first = int(lines.readline())
            lost.append(done + 1 - first)
            done = first
            while done < target:
                done = int(lines.readline())
            time.sleep(rng.random() * 0.003)
            os.kill(child, number)
            done = max([done, *map(int, lines.read().split())])
            ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        found, batches = finish(path, save_freq)
        lost.append(done + 1 - int(batches[0]))
        left = len(os.listdir(folder))
    exact = found == wanted
    return {"exact": exact, "lost": max(lost), "ends": ends, "left": left}


def runs(trial, rng, wanted):
    name, count, kills, save_freq = trial.split(":")
    save_freq = save_freq if save_freq == "epoch" else int(save_freq)
    for _ in range(int(count)):
        number = getattr(signal, name)
        yield run(number, int(kills), save_freq, rng, wanted)


def main():
    seed, *trials = sys.argv[1:]
    rng = random.Random(int(seed))
    with tempfile.TemporaryDirectory() as folder:
        wanted, _ = finish(os.path.join(folder, "save"), "epoch")
    found = {trial: list(runs(trial, rng, wanted)) for trial in trials}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
