"""Are ratings those of factors and biases, for known and for new?"""

import keras
import numpy as np
import pytest
from helpers import distance, weights
from table_models import (
    FILMS,
    RATINGS,
    STARS,
    USERS,
    collaborative,
    compiled,
    data,
    encoder,
    fit,
    predict,
    rated,
)

import keras_fast
from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import collaborative_filter


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = compiled(collaborative(), 3e-2, traced=True)
    fit(model, epochs=25)
    return model


def parts(model):
    """Factors and biases of users and films, as arrays."""
    table = model.get_layer("factors")
    return [
        [
            keras.ops.convert_to_numpy(each[name].embeddings)
            for name in ("user", "film")
        ]
        for each in (table.embeddings, table.biases)
    ]


def by_numpy(model, x):
    (users, films), (user_bias, film_bias) = parts(model)
    rows = []
    for table, codes in (
        (users, x["user"]),
        (films, x["film"]),
        (user_bias, x["user"]),
        (film_bias, x["film"]),
    ):
        table = np.concatenate(
            [table[1:].mean(axis=0, keepdims=True), table[1:]]
        )
        rows.append(table[codes].astype("float64"))
    score = (rows[0] * rows[1]).sum(axis=1, keepdims=True) + rows[2] + rows[3]
    return 5.5 / (1 + np.exp(-score))


def test_it_learns(trained):
    assert np.sqrt(np.mean((predict(trained)[:, 0] - STARS) ** 2)) < 0.3


def test_predictions_equal_numpy(trained):
    x = data(trained)[0]
    np.testing.assert_allclose(
        predict(trained), by_numpy(trained, x), rtol=1e-4
    )


def test_the_new_are_the_mean_of_the_others(trained):
    new = rated()(
        {"user": [99, 3, None], "film": ["film 1", "unheard of", None]}
    )
    assert new["user"].tolist()[0] == new["film"].tolist()[1] == 0
    got = predict(trained, new)
    np.testing.assert_allclose(got, by_numpy(trained, new), rtol=1e-4)
    # Whatever row 0 holds, and training leaves it alone.
    changed = keras.models.clone_model(trained)
    changed.set_weights(trained.get_weights())
    table = changed.get_layer("factors")
    for layer in (*table.embeddings.values(), *table.biases.values()):
        values = keras.ops.convert_to_numpy(layer.embeddings).copy()
        values[0] = 0.5
        layer.set_weights([values])
    np.testing.assert_allclose(predict(changed, new), got, rtol=1e-5)


def test_the_rare_have_a_row_that_learns():
    made = TableEncoder(["user", "film"], min_count=20)
    made.adapt(RATINGS)
    counts = made.get_config()["state"]["categories"]["film"]["counts"]
    assert counts[0] > 0
    model = compiled(collaborative_filter(made, num_factors=2))
    layer = model.get_layer("factors").biases["film"]
    before = keras.ops.convert_to_numpy(layer.embeddings)[0].copy()
    model.fit(made(RATINGS), STARS, verbose=0)
    assert (
        distance(keras.ops.convert_to_numpy(layer.embeddings)[0], before) > 1e-3
    )


def test_a_network():
    model = compiled(collaborative(units=(8, 4)))
    names = [layer.name for layer in model.layers]
    assert {"hidden_1", "hidden_2", "scores"} < {*names}
    before = predict(model)
    fit(model, epochs=3)
    assert distance(predict(model), before) > 0.1
    zero = [np.zeros_like(w) for w in model.get_layer("scores").get_weights()]
    model.get_layer("scores").set_weights(zero)
    _, (user_bias, film_bias) = parts(model)
    x = data(model)[0]
    score = user_bias[x["user"]] + film_bias[x["film"]]
    np.testing.assert_allclose(
        predict(model), 5.5 / (1 + np.exp(-score)), rtol=1e-5
    )


def test_mean_and_spread_without_a_range():
    model = collaborative_filter(rated(), targets=STARS)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    np.testing.assert_allclose(predict(model), STARS.mean(), rtol=1e-6)
    # In a range the biases have to learn it.
    model = collaborative(targets=STARS)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    np.testing.assert_allclose(predict(model), 2.75)


def test_tables():
    table = collaborative(num_factors=7).get_layer("factors")
    shapes = {
        name: (
            table.embeddings[name].embeddings.shape,
            table.biases[name].embeddings.shape,
        )
        for name in table.embeddings
    }
    assert shapes == {
        "user": ((USERS + 1, 7), (USERS + 1, 1)),
        "film": ((FILMS + 1, 7), (FILMS + 1, 1)),
    }
    values = np.ravel(parts(collaborative(num_factors=50))[0][1])
    assert abs(values).max() <= 0.02 and 0.006 < values.std() < 0.01


def test_it_trains_with_our_parts():
    model = compiled(collaborative(units=(8,)))
    groups = keras_fast.layer_groups(model)
    assert [g[0].name for g in groups] == ["factors", "hidden_1", "scores"]
    x, y = data(model)
    before = weights(model)
    keras_fast.lr_find(model, x, y, batch_size=32, num_steps=10)
    np.testing.assert_array_equal(weights(model), before)
    keras_fast.freeze(model)
    fit(model, 1, callbacks=[OneCycle(1e-2)])
    assert (
        distance(parts(model)[0][0].sum(), before[: 4 * (USERS + 1)].sum())
        < 1e-4
    )
    assert "factors" in str(keras_fast.training_plan(collaborative_compiled()))


def collaborative_compiled():
    return compiled(collaborative())


def test_it_is_saved_and_loaded(trained, tmp_path):
    trained.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    new = {"user": [3, 99], "film": ["film 2", "film 2"]}
    x = TableEncoder.of(again)(new)
    assert distance(predict(again, x), predict(trained, x)) < 1e-6


@pytest.mark.tensorflow_only
def test_it_is_exported(trained, tmp_path):
    import tensorflow as tf

    trained.export(tmp_path / "m", verbose=False)
    x = data(trained)[0]
    loaded = tf.saved_model.load(tmp_path / "m")
    served = loaded.serve(x)
    np.testing.assert_allclose(served, predict(trained), rtol=1e-6)


def test_mixed_precision():
    model = collaborative(targets=STARS)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = collaborative()
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(model.get_weights())
    assert predict(half).dtype == "float32"
    assert distance(predict(half), predict(model)) < 1e-2
    before = weights(half)
    compiled(half).train_on_batch(data(half)[0], STARS)
    assert 0 < distance(weights(half), before) < 0.1


def test_fifty_updates_equal_numpy():
    """SGD on indices that repeat in each batch, on every backend."""
    rate, (x, y) = 0.05, (rated()(RATINGS), STARS)
    model = collaborative(y_range=None, num_factors=3)
    rng = np.random.default_rng(1)
    model.set_weights(
        [rng.normal(0, 0.3, w.shape) for w in model.get_weights()]
    )
    (p, q), (a, b) = parts(model)
    p, q, a, b = (each.astype("float64") for each in (p, q, a, b))
    model.compile(keras.optimizers.SGD(rate), "mse", jit_compile=False)
    how = {"batch_size": 24, "epochs": 5, "shuffle": False, "verbose": 0}
    model.fit(x, y, **how)
    for k in range(50):
        rows = slice(k % 10 * 24, (k % 10 + 1) * 24)
        u, i = x["user"][rows], x["film"][rows]
        error = (p[u] * q[i]).sum(axis=1, keepdims=True) + a[u] + b[i]
        error = 2 * (error - y[rows, None]) / 24
        steps = [
            (p, u, error * q[i]),
            (q, i, error * p[u]),
            (a, u, error),
            (b, i, error),
        ]
        for table, index, gradient in steps:
            np.subtract.at(table, index, rate * gradient)
    (got_p, got_q), (got_a, got_b) = parts(model)
    for got, expected in ((got_p, p), (got_q, q), (got_a, a), (got_b, b)):
        assert distance(got, expected) <= 1e-5


@pytest.mark.parametrize(
    ("error", "arguments", "expected"),
    [
        (ValueError, {"num_factors": 0}, "num_factors=0"),
        (TypeError, {"units": 5}, "units=5"),
        (ValueError, {"y_range": (0, 4.5), "targets": STARS}, "a target of 5"),
        (ValueError, {"targets": [3.0, np.nan]}, "[nan] in row 1"),
        (TypeError, {"encoder": "user"}, "encoder='user'"),
        (ValueError, {"encoder": TableEncoder(["a", "b"])}, "not adapted"),
    ],
)
def test_bad_arguments(error, arguments, expected):
    arguments = {"encoder": rated(), **arguments}
    with pytest.raises(error) as caught:
        collaborative_filter(**arguments)
    assert expected in str(caught.value)
    assert "Received:" in str(caught.value)


def test_other_columns():
    with pytest.raises(ValueError, match=r"two categorical columns.*'carat'"):
        collaborative_filter(encoder())
