"""How does Keras work inside? This is the only package that knows.

The path of one value, from `OneCycle(max_lr=0.1)` to the update:

```text
callbacks/one_cycle.py        max_lr becomes a function of progress:
                                partial(schedules.one_cycle, max_lr=0.1)
callbacks/_scheduler.py       on_train_begin: the optimizer is made live, and
                                the function becomes rows, one value per batch
  unwrap.py                     the optimizer within LossScaleOptimizer and
                                DiscriminativeOptimizer is the one that updates
  live.py  attach, load         rows become a table, a variable: a number baked
                                into a traced step can't change
  train_step.py  follow         the table's position must advance after every
                                train step: Keras traces `train_step` again
fit() ──► train step
  train_step.py  run            followers surround the model's own step
  live.py  apply                the optimizer's row is read within the step,
  loan.py                         and lent to its attributes for one call
    Keras: update_step(gradient, variable, learning_rate)
  live.py  after                the next batch has the next row
callbacks/_scheduler.py       on_train_batch_begin: a new page of the table, if
                                the old one is used up
                              on_train_end: the table becomes empty, and the
                                optimizer's own numbers apply
```

Facts about Keras that require this. A hyperparameter that is a Python number
is a constant in the traced step, so it is read from a variable. A variable in
its place would be in `get_config()` and break files, so it is lent for the
duration of a call. Callbacks are called per execution, not per step, so the
position is counted in the step. A `LossScaleOptimizer` skips updates, so steps
are counted rather than `iterations`. On JAX a step sees the variables that it
is handed, so the table is among the optimizer's, hidden from files. An
exception ends training without notice to callbacks, so the next training
clears up what is left.
"""
