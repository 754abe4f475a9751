"""How does Keras do it inside? The only room that knows.

The way of one value, from `OneCycle(max_lr=0.1)` to the update:

```text
callbacks/one_cycle.py        max_lr becomes a function of progress:
                                partial(schedules.one_cycle, max_lr=0.1)
callbacks/_scheduler.py       on_train_begin: the optimizer is made live, and
                                the function becomes rows, a value a batch
  unwrap.py                     the optimizer within LossScaleOptimizer and
                                DiscriminativeOptimizer is the one that updates
  live.py  attach, load         rows become a table, a variable: what is baked
                                into a traced step as a number can't change
  train_step.py  follow         the table's position is to advance after every
                                train step: Keras traces `train_step` anew
fit() ──► train step
  train_step.py  run            followers stand around the model's own step
  live.py  apply                the optimizer's row is read within the step,
  loan.py                         and lent to its attributes for one call
    Keras: update_step(gradient, variable, learning_rate)
  live.py  after                the next batch has the next row
callbacks/_scheduler.py       on_train_batch_begin: a new page of the table, if
                                the old one is at its end
                              on_train_end: the table has nothing any more, and
                                the optimizer's own numbers hold
```

Facts of Keras that force it. A hyperparameter that is a Python number is a
constant in the traced step, so it is read from a variable. A variable in its
place would be in `get_config()` and break files, so it is lent for the time of
a call. Callbacks hear of executions, not of steps, so the position is counted
in the step. A `LossScaleOptimizer` skips updates, so it counts steps and not
`iterations`. On JAX a step sees the variables that it is handed, so the table
is among the optimizer's, hidden from files. An exception ends a training
without a word to callbacks, so the next training puts away what is left.
"""
