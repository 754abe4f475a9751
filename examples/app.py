"""A web page on your machine that classifies the images dropped on it.

    python examples/app.py classifier.keras [--port 8000]

Beside `classifier.keras` lies `classifier.json`, which `save` below writes: the
names of the classes and the size of the images. It needs nothing that
keras_fast does not need. For many users at once put a server made for that in
front of `Classifier`.
"""

import argparse
import io
import json
import os
import tempfile
import threading
import traceback
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image

from keras_fast.data import load_images

MOST_BYTES = 20 << 20
MOST_PIXELS = 50_000_000
FORMATS = ["BMP", "GIF", "JPEG", "PNG", "WEBP"]


def save(model, path, class_names, size):
    """The model, and beside it what a program needs to use it."""
    path = Path(path)
    size = np.asarray(size).tolist()
    kept = json.dumps({"class_names": [*map(str, class_names)], "size": size})
    model.save(path)
    path.with_suffix(".json").write_text(kept)


def kept_beside(path):
    """The names of the classes, and height and width of the images."""
    beside = Path(path).with_suffix(".json")
    try:
        kept = json.loads(beside.read_text())
        size = np.broadcast_to(kept["size"], 2).astype(int, casting="safe")
        names = kept["class_names"]
        if size.min() < 1 or not isinstance(names, list):
            raise ValueError(kept)
        return [*map(str, names)], tuple(size.tolist())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{beside} must hold `class_names` and `size`. Write it with "
            f"`save` of examples/app.py. Received: {error!r}"
        ) from error


class Classifier:
    """A saved model, from the path of an image to the names of its classes."""

    def __init__(self, path):
        self.class_names, self.size = kept_beside(path)
        self.model = keras.models.load_model(path, compile=False)
        if self.model.output_shape != (None, len(self.class_names)):
            raise ValueError(
                "`class_names` must have a name for each output of the model. "
                "Save both together, with `save`. Received: class_names="
                f"{self.class_names}, output_shape={self.model.output_shape}"
            )
        # Its first prediction takes long, and fails if the size is wrong.
        self.model.predict(np.zeros((1, *self.size, 3)), verbose=0)

    def __call__(self, path):
        """Names and their probabilities, the most likely first."""
        image = load_images([path], self.size)
        probabilities = self.model.predict(image, verbose=0)[0].tolist()
        # Rounding can take them a little out of it.
        if not all(-0.01 <= p <= 1.01 for p in probabilities):
            raise ValueError(
                "`model` must return probabilities. End it in a softmax or "
                f"sigmoid. Received: {probabilities}"
            )
        pairs = zip(self.class_names, probabilities, strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])


class Refused(Exception):
    """Why an upload is not classified, and HTTP's status for it."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def check(content):
    """Refuse what is no image, before its pixels take memory."""
    if not content:
        raise Refused(400, "No image arrived. Drop one file.")
    most = f"{MOST_PIXELS // 1_000_000} megapixels"
    too_large = Refused(413, f"The image has more than {most}.")
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes that are refused below.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                frames = getattr(image, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise too_large from error
    except Exception as error:
        formats = ", ".join(FORMATS)
        message = f"This is not an image in one of {formats}, or it is cut off."
        raise Refused(415, message) from error
    # All frames are decoded, with a color a pixel instead of three.
    if max(1, frames / 3) * width * height > MOST_PIXELS:
        raise too_large


class Server(ThreadingHTTPServer):
    """Serves the page and `classify`, to this machine alone."""

    request_queue_size = 128

    def __init__(self, classify, port=8000):
        super().__init__(("127.0.0.1", port), Handler)
        self.classify = classify
        self.one_at_a_time = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = 30  # seconds without a byte
    unread = 0  # bytes of a refused upload

    def do_GET(self):
        if self.path == "/":
            self.reply(200, "text/html", PAGE)
        else:
            self.reply(404, "text/plain", "The page is at /")

    def do_POST(self):
        try:
            status, found = 200, {"classes": self.classified(self.content())}
        except Refused as error:
            status, found = error.status, {"error": str(error)}
        self.reply(status, "application/json", json.dumps(found))

    def content(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refused(411, "The request has no Content-Length.")
        if len(length) > 15 or int(length) > MOST_BYTES:
            self.unread = int(length[:15])
            most = MOST_BYTES >> 20
            raise Refused(413, f"The file is larger than {most} MB.")
        return self.rfile.read(int(length))

    def classified(self, content):
        check(content)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "image")
            path.write_bytes(content)
            try:
                with self.server.one_at_a_time:
                    return self.server.classify(path)
            except Exception as error:
                if "must be image files" in str(error):
                    message = f"The image can't be decoded: {error.__cause__}."
                    raise Refused(400, message) from error
                traceback.print_exc()
                message = "The classifier failed: see the server's output."
                raise Refused(500, message) from error

    def reply(self, status, kind, text):
        body = text.encode()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        # Most programs look for a reply only when they have sent everything.
        left = min(self.unread, 10 * MOST_BYTES)
        while left and (part := self.rfile.read(min(left, 1 << 16))):
            left -= len(part)

    def log_message(self, *_):
        pass


PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is it?</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif; }
  body { max-width: 32rem; margin: 2rem auto; padding: 0 1rem; }
  label { display: block; padding: 3rem 1rem; text-align: center;
          border: 2px dashed; border-radius: .5rem; cursor: pointer; }
  label.over, label:focus-within { color: HighlightText;
          background: Highlight; }
  input { position: absolute; width: 1px; opacity: 0; }
  [hidden] { display: none !important; }
  img { display: block; max-width: 100%; max-height: 16rem; margin: 1rem auto; }
  meter { width: 100%; height: 1.2rem; }
  ol { list-style: none; padding: 0; }  li span { float: right; }
  li { overflow-wrap: anywhere; }
</style>
<h1>What is it?</h1>
<label>Drop an image here, or click to choose one
  <input type="file" accept="image/*"></label>
<img hidden alt="The image that you dropped">
<div role="status"></div>
<script>
  const [drop, input, image, status] = ['label', 'input', 'img', '[role]']
    .map((name) => document.querySelector(name));

  function row([name, probability]) {
    const item = document.createElement('li');
    const percent = document.createElement('span');
    const meter = document.createElement('meter');
    percent.textContent = (100 * probability).toFixed(1) + ' %';
    meter.value = probability;
    meter.title = name;
    item.append(name, percent, meter);
    return item;
  }

  let last = 0;

  async function ask(files) {
    const number = ++last;
    const file = files[0];
    image.hidden = true;
    if (!file) { status.textContent = 'That was no file.'; return; }
    if (files.length > 1) {
      status.textContent = 'Drop one image at a time.';
      return;
    }
    if (file.size > MOST_BYTES) {
      status.textContent = 'The file is larger than MOST_MB MB.';
      return;
    }
    status.textContent = 'Looking …';
    try {
      const reply = await fetch('/', { method: 'POST', body: file });
      const found = await reply.json();
      if (number !== last) return;  // another image was dropped meanwhile
      if (found.error) { status.textContent = found.error; return; }
      image.src = URL.createObjectURL(file);
      image.hidden = false;
      const list = document.createElement('ol');
      list.append(...found.classes.slice(0, 5).map(row));
      status.replaceChildren(list);
    } catch (error) {
      status.textContent = 'The server does not answer. Is it still running?';
    }
  }

  input.onchange = () => { ask(input.files); input.value = ''; };
  ondragover = (event) => { event.preventDefault(); drop.className = 'over'; };
  ondragleave = () => { drop.className = ''; };
  ondrop = (event) => {
    event.preventDefault();
    drop.className = '';
    ask(event.dataTransfer.files);
  };
</script>
</html>
""".replace("MOST_BYTES", str(MOST_BYTES)).replace(
    "MOST_MB", str(MOST_BYTES >> 20)
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    try:
        running = Server(Classifier(given.model), given.port)
    except (OSError, ValueError, OverflowError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    with running:
        print(f"http://127.0.0.1:{running.server_port} (Ctrl+C stops it)")
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
