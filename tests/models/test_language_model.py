import keras
import numpy as np
import pytest
from helpers import BACKEND, distance

from keras_fast import layer_groups, layers
from keras_fast.data import TextStream
from keras_fast.models import language_model, text_classifier, text_encoder

JIT = BACKEND == "jax"
SIZES = {"embedding_size": 4, "units": 6, "num_layers": 2}
IDS = np.array([[1, 2, 3, 4], [4, 3, 7, 1]])
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, kernel, recurrent, bias):
    """Outputs at each timestep."""
    state = carry = np.zeros((len(x), recurrent.shape[0]))
    outputs = []
    for t in range(x.shape[1]):
        gates = x[:, t] @ kernel + state @ recurrent + bias
        i, f, c, o = np.split(gates, 4, axis=1)
        carry = sigmoid(f) * carry + sigmoid(i) * np.tanh(c)
        state = sigmoid(o) * np.tanh(carry)
        outputs.append(state)
    return np.stack(outputs, axis=1)


def by_hand(model, ids):
    """Embeddings, LSTMs and decoder in NumPy."""
    [table] = model.get_layer("embedding").get_weights()
    x = table[ids]
    for layer in model.layers:
        if isinstance(layer, layers.WeightDropLSTM):
            x = lstm(x, *layer.get_weights())
    names = [layer.name for layer in model.layers]
    if "scores" not in names:
        return x
    tied = "decoder" not in names
    decoder = table.T if tied else model.get_layer("decoder").get_weights()[0]
    return x @ decoder + model.get_layer("scores").get_weights()[0]


def scrambled(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def numbers(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_logits_are_those_of_numpy(tied, num_layers):
    sizes = {**SIZES, "num_layers": num_layers}
    model = scrambled(language_model(9, tie_weights=tied, **sizes))
    logits = numbers(model(IDS))
    np.testing.assert_allclose(logits, by_hand(model, IDS), atol=1e-4)
    encoder = text_encoder(model)
    outputs = numbers(encoder(IDS))
    np.testing.assert_allclose(outputs, by_hand(encoder, IDS), atol=1e-4)


def rates(model):
    embedding = model.get_layer("embedding")
    lstms = [x for x in model.layers if isinstance(x, layers.WeightDropLSTM)]
    spatial = [
        x.rate
        for x in model.layers
        if isinstance(x, keras.layers.SpatialDropout1D)
    ]
    return [embedding.dropout, *(x.weight_dropout for x in lstms), *spatial]


def test_dropout_is_a_factor_of_fastais_rates():
    model = language_model(9, **SIZES, dropout=0.5)
    wanted = [0.02, 0.2, 0.2, 0.25, 0.15, 0.1]
    np.testing.assert_allclose(rates(model), np.multiply(wanted, 0.5))
    encoder = text_encoder(model, dropout=1)
    np.testing.assert_allclose(rates(encoder), [0.05, 0.5, 0.5, 0.4, 0.3])
    assert not any(rates(language_model(9, **SIZES, dropout=0)))


def test_sizes_are_fastais():
    model = language_model(10)
    [table] = model.get_layer("embedding").weights
    widths = [model.get_layer(f"lstm_{i}").units for i in (1, 2, 3)]
    assert (tuple(table.shape), widths) == ((10, 400), [1152, 1152, 400])


def test_lstms_start_as_those_of_pytorch():
    weights = language_model(9, **SIZES).get_layer("lstm_1").get_weights()
    for value in weights:
        assert np.abs(value).max() <= 6**-0.5
        assert value.std() == pytest.approx(6**-0.5 / 3**0.5, rel=0.25)
    # None has the numbers of another.
    assert len(np.unique(np.concatenate([w.ravel() for w in weights]))) == sum(
        w.size for w in weights
    )


def names(groups):
    return [[layer.name for layer in group] for group in groups]


def test_groups_are_fastais():
    model = language_model(9, **SIZES)
    ends = ["embedding", "scores"]
    assert names(layer_groups(model)) == [["lstm_1"], ["lstm_2"], ends]
    loose = language_model(9, **SIZES, tie_weights=False)
    ends = [["embedding"], ["lstm_1"], ["lstm_2"], ["decoder", "scores"]]
    assert names(layer_groups(loose)) == ends


def test_it_learns_what_comes_next():
    model = language_model(9, **SIZES, dropout=0.1)
    model.compile(keras.optimizers.Adam(0.03), LOSS, jit_compile=JIT)
    cycle = np.tile([2, 5, 3, 7], 200)
    stream = TextStream(cycle, batch_size=8, length=8)
    start = model.evaluate(stream, verbose=0)
    assert start == pytest.approx(np.log(9), abs=0.1)
    history = model.fit(stream, epochs=10, verbose=0)
    reached = model.evaluate(stream, verbose=0)
    # The penalties are in the loss of the training alone.
    assert reached < 0.4 < history.history["loss"][-1]


def test_the_language_model_is_left_alone():
    model = language_model(9, **SIZES)
    encoder = text_encoder(model)
    before = model.get_weights()
    encoder.trainable = True
    classifier = text_classifier(encoder, 2)
    encoder.trainable = True
    classifier.compile("adam", "sparse_categorical_crossentropy")
    classifier.fit(IDS, np.array([0, 1]), verbose=0)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)
    assert distance(encoder.weights[0], before[0]) > 0


def test_saved_and_loaded(tmp_path):
    model = scrambled(language_model(9, **SIZES))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numbers(model(IDS)), numbers(again(IDS)))
    np.testing.assert_array_equal(
        numbers(text_encoder(model)(IDS)), numbers(text_encoder(again)(IDS))
    )


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = language_model(9, **SIZES)
        encoder = text_encoder(model)
        classifier = text_classifier(encoder, 2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output.dtype == classifier.output.dtype == "float32"
    assert model.get_layer("lstm_1").compute_dtype == "float16"
    logits = numbers(model(IDS))
    np.testing.assert_allclose(logits, by_hand(model, IDS), atol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_size": 1}, "Received: vocabulary_size=1"),
        ({"units": 0}, "Received: units=0"),
        ({"num_layers": 0}, "Received: num_layers=0"),
        ({"embedding_size": -1}, "Received: embedding_size=-1"),
        ({"dropout": -0.1}, r"Received: dropout=-0\.1"),
        ({"dropout": 4}, "`dropout` must be below 4"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        language_model(**{"vocabulary_size": 9} | arguments)


def test_what_is_no_language_model():
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="Received: language_model='sequen"):
        text_encoder(other)
    with pytest.raises(ValueError, match="`dropout` must be below 2"):
        text_encoder(language_model(9, **SIZES), dropout=2)


def test_an_encoder_takes_over_what_lora_has_learned():
    model = language_model(9, **SIZES)
    embedding = model.get_layer("embedding")
    embedding.enable_lora(2)
    scrambled(model)
    encoder = text_encoder(model, dropout=0)
    np.testing.assert_allclose(
        numbers(encoder.get_layer("embedding").embeddings),
        numbers(embedding.embeddings),
    )
    model = language_model(9, **SIZES)
    model.get_layer("embedding").quantize("int8")
    with pytest.raises(ValueError) as error:
        text_encoder(model)
    assert str(error.value) == (
        "`language_model` must not be quantized: its encoder is to learn. Take "
        "the encoder first, then call `quantize`. Received: "
        "embedding.dtype_policy=int8_from_float32"
    )
