"""The web page of examples/app.py, as its users meet it."""

import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import LOOKS
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
DROP = """([bytes, ...names]) => {
    const data = new DataTransfer();
    for (const name of names)
        data.items.add(new File([new Uint8Array(bytes)], name));
    document.querySelector('label').dispatchEvent(new DragEvent('drop',
        { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def page():
    """The page's address, of a model that knows light from dark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import app

    def classify(path):
        light = float(np.asarray(app.load_images([path], 8)).mean() / 255)
        # Names that a page could take for something else.
        return [("<b>light</b>", light), ("error", 1 - light)]

    with app.Server(classify, port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def files(tmp_path):
    Image.new("RGB", (40, 30), (255, 255, 255)).save(tmp_path / "white.png")
    content = (tmp_path / "white.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[:-30])
    (tmp_path / "empty.png").touch()
    (tmp_path / "letter.txt").write_text("Dear all")
    (tmp_path / "film.png").write_bytes(bytes(21 << 20))
    return tmp_path


@pytest.mark.parametrize("look", LOOKS)
def test_dropped_image_is_named(look, views, page, files):
    tab = views[look]
    tab.goto(page)
    content = list((files / "white.png").read_bytes())
    tab.evaluate(DROP, [content, "white.png"])
    tab.locator("li").nth(1).wait_for(timeout=10_000)
    rows = tab.locator("li").all_inner_texts()
    # Names are text, whatever is in them.
    assert [row.split()[0] for row in rows] == ["<b>light</b>", "error"]
    assert "100.0 %" in rows[0] and "0.0 %" in rows[1]
    assert tab.locator("img").is_visible()
    assert tab.evaluate("document.images[0].naturalWidth") == 40
    inside = "document.documentElement.scrollWidth <= innerWidth"
    assert tab.evaluate(inside)


def test_several_at_once_are_refused(views, page, files):
    tab = views["desktop light"]
    tab.goto(page)
    content = list((files / "white.png").read_bytes())
    tab.evaluate(DROP, [content, "one.png", "two.png"])
    tab.get_by_text("one image at a time").wait_for(timeout=10_000)
    assert not tab.locator("img").is_visible()


BAD = {
    "half.png": "can't be decoded",
    "empty.png": "No image arrived",
    "letter.txt": "not an image",
    "film.png": "larger than 20 MB",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_named_and_the_next_one_works(name, views, page, files):
    tab = views["desktop light"]
    tab.goto(page)
    chosen = tab.locator("input")
    chosen.set_input_files(files / name)
    tab.get_by_text(BAD[name]).wait_for(timeout=10_000)
    assert not tab.locator("img").is_visible()
    chosen.set_input_files(files / "white.png")
    tab.locator("li").nth(1).wait_for(timeout=10_000)
