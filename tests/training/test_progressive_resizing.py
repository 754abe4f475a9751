import keras
import numpy as np
import pytest
from helpers import BACKEND, distance, weights

from keras_fast import lr_find, models, progressive_resizing
from keras_fast.callbacks import OneCycle, ParamScheduler, Recorder

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 24, 24, 3)).astype("uint8")
LABELS = np.arange(12) % 2


def resized(size):
    small = keras.layers.Resizing(size, size)(IMAGES)
    return keras.ops.convert_to_numpy(small), LABELS


def classifier():
    keras.utils.set_random_seed(0)
    base = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)]
    )
    model = models.image_classifier(base, 2, head_units=4, dropout=0.0)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        "sparse_categorical_crossentropy",
        jit_compile=BACKEND == "jax",
    )
    return model


def grow(model, **arguments):
    settings = {"sizes": (8, 16), "epochs": (1, 2), "max_lr": (0.1, 0.01)}
    return progressive_resizing(
        model,
        resized,
        **settings | arguments,
        batch_size=4,
        shuffle=False,
        verbose=0,
    )


def test_equals_one_fit_after_another():
    model, expected = classifier(), classifier()
    for size, epochs, rate in ((8, 1, 0.1), (16, 2, 0.01)):
        expected.fit(
            *resized(size),
            epochs=epochs,
            batch_size=4,
            shuffle=False,
            verbose=0,
            callbacks=[OneCycle(rate)],
        )
    history = grow(model)
    assert distance(weights(model), weights(expected)) <= 1e-6
    assert history is model.history
    assert history.epoch == [0, 1, 2]
    assert history.history["image_size"] == [8, 16, 16]
    assert history.history["max_lr"] == [0.1, 0.01, 0.01]
    assert len(history.history["loss"]) == 3


def test_sizes_with_other_numbers_of_batches():
    def part(size):  # three batches an epoch, then two
        x, y = resized(size)
        return (x, y) if size == 8 else (x[:8], y[:8])

    def beta_2(progress):
        return 0.5 + 0.4 * progress

    model, expected = classifier(), classifier()
    for each in (model, expected):
        each.compile("adam", "sparse_categorical_crossentropy")
    wanted = []
    for size, first, last, rate in ((8, 0, 1, 0.1), (16, 1, 3, 0.01)):
        cycle = OneCycle(rate)
        share = (last - first) / 3
        its = ParamScheduler(
            beta_2=lambda p, at=first / 3, share=share: beta_2(at + p * share)
        )
        x, y = part(size)
        expected.fit(
            x,
            y,
            batch_size=4,
            epochs=last - first,
            shuffle=False,
            verbose=0,
            callbacks=[cycle, its],
        )
        updates = len(x) // 4 * (last - first)
        wanted += [*cycle.curve(updates)["learning_rate"]]
    recorder, whole = Recorder(), ParamScheduler(beta_2=beta_2)
    heard = []
    hears = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: heard.append("begin"),
        on_epoch_begin=lambda epoch, logs: heard.append(epoch),
        on_train_end=lambda logs: heard.append("end"),
    )
    progressive_resizing(
        model,
        part,
        sizes=(8, 16),
        epochs=(1, 2),
        max_lr=(0.1, 0.01),
        batch_size=4,
        shuffle=False,
        verbose=0,
        callbacks=[whole, recorder, hears],
    )
    assert heard == ["begin", 0, 1, 2, "end"]
    np.testing.assert_allclose(recorder.learning_rates, wanted, rtol=1e-6)
    assert distance(weights(model), weights(expected)) <= 1e-6


def test_the_rate_is_found_at_each_size():
    model, recorder = classifier(), Recorder()
    history = grow(model, max_lr=None, epochs=1, callbacks=[recorder])
    first = lr_find(classifier(), *resized(8), batch_size=4, shuffle=False)
    # What is left of the sweep's rounding: none.
    assert history.history["max_lr"][0] == first.suggestion
    parts = np.split(recorder.learning_rates, 2)
    for rates, found in zip(parts, history.history["max_lr"], strict=True):
        assert max(rates) == pytest.approx(found, rel=0.5)


def test_images_have_the_size_asked_for():
    asked = []

    def data(size):
        asked.append(size)
        return resized(size)

    progressive_resizing(
        classifier(),
        data,
        sizes=[8, 12],
        epochs=1,
        max_lr=0.01,
        validation_data=lambda size: asked.append(-size) or resized(size),
        batch_size=4,
        verbose=0,
    )
    assert asked == [8, -8, 12, -12]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": (8, 0)}, "Received: sizes=0"),
        ({"epochs": 0}, "Received: epochs=0"),
        ({"epochs": (1,)}, "for each of 2 sizes.*Received: epochs="),
        ({"max_lr": (0.1, -1)}, "Received: max_lr=-1"),
        ({"max_lr": ()}, "for each of 2 sizes.*Received: max_lr="),
        ({"sizes": ()}, "Received: "),
        ({"initial_epoch": 1}, "Received: initial_epoch=1"),
    ],
)
def test_bad_arguments_change_nothing(arguments, message):
    model = classifier()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        grow(model, **arguments)
    assert distance(weights(model), before) == 0


def test_data_must_be_a_function():
    with pytest.raises(TypeError, match="`data` must be callable"):
        progressive_resizing(classifier(), IMAGES, sizes=(8,), epochs=1)


def test_what_the_data_may_be():
    def trained(parts, **arguments):
        model = classifier()
        progressive_resizing(
            model,
            lambda size: parts(*resized(size)),
            sizes=(8,),
            epochs=1,
            max_lr=0.1,
            batch_size=12,
            verbose=0,
            **arguments,
        )
        return weights(model)

    shares = np.linspace(0, 2, 12)
    expected = trained(lambda x, y: (x, y), sample_weight=shares)
    found = trained(lambda x, y: [x, y, shares])
    assert distance(found, expected) <= 1e-6


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        (None, TypeError, r"Add a `return`. Received: data\(8\)=None"),
        ([IMAGES], ValueError, r"Received: data\(8\) of 1 parts"),
        ((IMAGES, LABELS, LABELS), ValueError, "and sample_weight"),
    ],
)
def test_what_the_data_may_not_be(parts, error, message):
    with pytest.raises(error, match=message):
        progressive_resizing(
            classifier(),
            lambda size: parts,
            sizes=(8,),
            epochs=1,
            max_lr=0.1,
            sample_weight=LABELS,
        )


@pytest.mark.parametrize("kind", ["fixed", "small", "flat"])
def test_sizes_that_the_model_cannot_take_are_refused_before(kind):
    size = None if kind == "small" else 16
    inputs = keras.Input((size, size, 3))
    if kind == "flat":
        layers = keras.layers.Flatten(), keras.layers.Dense(2)
        model = keras.Sequential([inputs, *layers])
    else:
        maps = keras.layers.Conv2D(2, 9)(inputs)
        outputs = keras.layers.GlobalAveragePooling2D()(maps)
        model = keras.Model(inputs, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = weights(model)
    with pytest.raises(ValueError, match="Received: sizes with 8, model="):
        grow(model, sizes=(16, 8))
    assert distance(weights(model), before) == 0
    assert model.optimizer.iterations == 0


def test_a_sequence_takes_more_sizes_than_its_input_says():
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(2, 3),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    history = grow(model, sizes=(8,), epochs=1, max_lr=1e-3)
    assert history.history["image_size"] == [8]


def test_data_must_have_a_length():
    with pytest.raises(ValueError, match="known for `progressive_resizing`"):
        progressive_resizing(
            classifier(),
            lambda size: iter([resized(size)]),
            sizes=(8,),
            epochs=1,
        )
