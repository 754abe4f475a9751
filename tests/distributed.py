"""Trains what `test_distribution.py` compares, on the devices it is given.

python distributed.py PORT RANK PROCESSES DEVICES FILE
"""

import sys

import numpy as np
from helpers import adam, data, fit, mlp, state, weights

from keras_fast import lr_find
from keras_fast.callbacks import OneCycle, Recorder
from keras_fast.optimizers import DiscriminativeOptimizer

BATCH = 4


def results(rank=0, processes=1):
    """Weights, losses and a sweep; `rank`'s part of each batch goes in."""
    x, y = (part_of(a, rank, processes) for a in data())
    size = BATCH // processes
    model = mlp(DiscriminativeOptimizer(adam(), [0.1, 0.1, 1.0, 1.0]))
    recorder = Recorder()
    fit(model, x, y, OneCycle(0.05), recorder, batch_size=size)
    found = {"weights": weights(model), "losses": recorder.losses}
    before = state(model)
    sweep = lr_find(
        model,
        x,
        y,
        batch_size=size,
        num_steps=20,
        end_lr=0.1,
        stop_factor=1e9,
        shuffle=False,
        verbose=0,
    )
    found["sweep"] = sweep.losses
    found["left as it was"] = all(map(np.array_equal, state(model), before))
    return found


def part_of(array, rank, processes):
    """Of each batch of the whole, the rows that one process feeds."""
    batches = array.reshape(-1, BATCH, *array.shape[1:])
    rows = np.array_split(np.arange(BATCH), processes)[rank]
    return batches[:, rows].reshape(-1, *array.shape[1:])


def main(port, rank, processes, devices, file):
    import jax
    import keras

    jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        keras.distribution.initialize(f"127.0.0.1:{port}", processes, rank)
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    found = results(rank, processes)
    np.savez(file, devices=len(jax.devices()), **found)


if __name__ == "__main__":
    *whole, file = sys.argv[1:]
    main(*map(int, whole), file)
