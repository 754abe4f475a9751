"""The web page's server: what it answers, and what it refuses."""

import http.client
import io
import json
import socket
import threading
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = [pytest.mark.once, pytest.mark.tensorflow_only]


def image(kind="PNG", size=(20, 30), color=(255, 0, 0)):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


def reds(path):
    """A model whose probabilities are the shares of red, green and blue."""
    inputs = keras.Input((8, 8, 3))
    pixels = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Rescaling(1 / 255)(pixels))
    model.compile("adam", "mse")
    import app

    app.save(model, path, ["red", "grün", "blue"], size=8)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import app

        path = tmp_path_factory.mktemp("served") / "model.keras"
        reds(path)
        app.classify = app.Classifier(path)
        yield app


@pytest.fixture(scope="module")
def ask(app):
    """Status and answer to an upload."""
    with app.Server(app.classify, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def asked(body, method="POST", path="/", **headers):
            connection = http.client.HTTPConnection(
                "127.0.0.1", server.server_port, timeout=60
            )
            try:
                connection.request(method, path, body, headers)
                reply = connection.getresponse()
                return reply.status, reply.read().decode()
            finally:
                connection.close()

        yield asked
        server.shutdown()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_names_come_with_their_probabilities(ask, app, kind):
    status, text = ask(image(kind, color=(0, 255, 0)))
    assert status == 200
    (name, most), *others = json.loads(text)["classes"]
    assert name == "grün"
    assert {name for name, _ in others} == {"red", "blue"}
    np.testing.assert_allclose(most, 1, atol=0.02)
    np.testing.assert_allclose([p for _, p in others], 0, atol=0.02)


def test_page_is_served(ask):
    status, text = ask(None, "GET")
    assert status == 200
    assert "Drop an image" in text
    assert ask(None, "GET", "/secrets")[0] == 404


def noise(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def png_that_claims(side):
    """A small file with a header that says otherwise."""
    small = bytearray(image())
    small[16:24] = side.to_bytes(4, "big") * 2  # width and height
    small[29:33] = zlib.crc32(small[12:29]).to_bytes(4, "big")
    return bytes(small)


def gif(frames):
    first, *others = (
        Image.new("P", (3000, 3000), i % 2) for i in range(frames)
    )
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others)
    return file.getvalue()


def clear_webp():
    file = io.BytesIO()
    Image.new("RGBA", (20, 20), (1, 2, 3, 4)).save(file, "WEBP")
    return file.getvalue()


BAD = {
    "nothing": (b"", {}, 400, "No image arrived"),
    "text": (b"a letter", {}, 415, "not an image in one of BMP, GIF"),
    "another kind": (image("TIFF"), {}, 415, "not an image in one of"),
    "half an image": (noise((64, 64))[:2000], {}, 400, "can't be decoded"),
    "huge": (b"", {"Content-Length": str(1 << 40)}, 413, "larger than 20 MB"),
    "large": (png_that_claims(8_000), {}, 413, "more than 50 megapixels"),
    "many frames": (gif(40), {}, 413, "more than 50 megapixels"),
    "transparent": (clear_webp(), {}, 400, "a transparent WebP"),
    "a bomb": (png_that_claims(60_000), {}, 413, "more than 50 megapixels"),
    "endless": (b"", {"Content-Length": "9" * 5000}, 413, "larger than 20 MB"),
    "no length": (b"", {"Content-Length": "-1"}, 411, "no Content-Length"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_uploads_are_refused_and_the_server_goes_on(ask, name):
    body, headers, status, message = BAD[name]
    found, text = ask(body, **headers)
    assert (found, message in json.loads(text)["error"]) == (status, True)
    assert ask(image())[0] == 200


def test_programs_that_send_everything_first_come_to_the_reply(app):
    with app.Server(app.classify, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(address, bytes(25 << 20), timeout=60)
        assert "larger than 20 MB" in refused.value.read().decode()
        server.shutdown()


def test_many_can_wait_for_their_turn(app):
    with app.Server(None, port=0) as server:  # which accepts none yet
        waiting = [
            socket.create_connection(server.server_address, timeout=5)
            for _ in range(60)
        ]
        for each in waiting:
            each.close()


def failing(*_, **__):
    raise ValueError("out of order")


def returning(outputs):
    return lambda *_, **__: np.array([outputs])


@pytest.mark.parametrize(
    "predict", [failing, returning([np.nan, 0, 1]), returning([7.3, 0, 1])]
)
def test_a_fault_of_the_model_is_not_the_images(app, ask, monkeypatch, predict):
    monkeypatch.setattr(app.classify.model, "predict", predict)
    status, text = ask(image())
    assert status == 500
    assert "classifier failed" in json.loads(text)["error"]


def test_model_is_kept_with_its_names(app, tmp_path):
    reds(tmp_path / "model.keras")
    kept = json.loads((tmp_path / "model.json").read_text())
    assert kept == {"class_names": ["red", "grün", "blue"], "size": 8}
    (tmp_path / "blue.png").write_bytes(image(color=(0, 0, 255)))
    found = app.Classifier(tmp_path / "model.keras")(tmp_path / "blue.png")
    assert found[0][0] == "blue"


def test_names_and_size_may_be_numpys(app, tmp_path):
    reds(tmp_path / "model.keras")
    model = app.keras.models.load_model(tmp_path / "model.keras")
    names, size = np.array(["a", "b", "c"]), np.array([8, 8])
    app.save(model, tmp_path / "other.keras", names, size)
    found = app.Classifier(tmp_path / "other.keras")
    assert (found.class_names, found.size) == (["a", "b", "c"], (8, 8))


def test_names_must_be_those_of_the_outputs(app, tmp_path):
    reds(tmp_path / "model.keras")
    kept = {"class_names": ["red"], "size": 8}
    (tmp_path / "model.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="a name for each output"):
        app.Classifier(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "kept",
    [
        '{"class_names": ["red", "green", "blue"]}',
        '{"class_names": ["red", "green", "blue"], "size": null}',
        '{"class_names": ["red", "green", "blue"], "size": "8"}',
        '{"class_names": 3, "size": 8}',
        '{"class_names": "abc", "size": 8}',
        '{"class_names": ["red", "green", "blue"], "size": 0}',
        "[]",
        "{",
        None,
    ],
)
def test_what_lies_beside_the_model_is_checked(app, tmp_path, kept):
    reds(tmp_path / "model.keras")
    (tmp_path / "model.json").unlink()
    if kept is not None:
        (tmp_path / "model.json").write_text(kept)
    with pytest.raises(ValueError, match="Write it with `save`"):
        app.Classifier(tmp_path / "model.keras")


def test_size_must_be_one_that_the_model_takes(app, tmp_path):
    reds(tmp_path / "model.keras")
    kept = {"class_names": ["red", "green", "blue"], "size": 9}
    (tmp_path / "model.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="8, 8, 3"):
        app.Classifier(tmp_path / "model.keras")


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_there_is_not(app, tmp_path, monkeypatch, port):
    reds(tmp_path / "model.keras")
    path = str(tmp_path / "model.keras")
    monkeypatch.setattr("sys.argv", ["app.py", path, f"--port={port}"])
    with pytest.raises(SystemExit, match=r"app\.py: .*0-65535"):
        app.main()


@pytest.mark.parametrize("missing", ["model", "port"])
def test_it_says_why_it_does_not_start(app, tmp_path, monkeypatch, missing):
    reds(tmp_path / "model.keras")
    with app.Server(None, port=0) as other:
        name = "none" if missing == "model" else "model"
        arguments = [f"{tmp_path / name}.keras", "--port"]
        port = str(other.server_port)
        monkeypatch.setattr("sys.argv", ["app.py", *arguments, port])
        reason = "No such file" if missing == "model" else "in use"
        with pytest.raises(SystemExit, match=rf"app\.py: .*{reason}"):
            app.main()
