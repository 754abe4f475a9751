"""Does Grad-CAM show the animal?

    python benchmarks/grad_cam.py FOLDER [--write]

FOLDER has folders `cat` and `dog` of photographs, 300 to 309 of each with a
box drawn by hand around the animal. A classifier trains at 96 pixels on the
others. Then the share of heat inside the box is measured, for feature maps of
the images as they are, and of images that `grad_cam` enlarges. By chance it is
the box's share of the area.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
from _images import photos
from recipes import build

import keras_fast
from keras_fast import inference
from keras_fast.data import load_images

SIZE = 96
# Left, top, right and bottom, as shares of the image.
BOXES = {
    "cat/300.jpg": (0.15, 0.03, 0.96, 0.97),
    "cat/301.jpg": (0.02, 0.03, 1.00, 1.00),
    "cat/302.jpg": (0.22, 0.03, 1.00, 1.00),
    "cat/303.jpg": (0.15, 0.02, 0.90, 0.97),
    "cat/304.jpg": (0.15, 0.02, 0.62, 0.95),
    "cat/305.jpg": (0.03, 0.10, 0.98, 0.83),
    "cat/306.jpg": (0.10, 0.02, 1.00, 1.00),
    "cat/307.jpg": (0.00, 0.00, 1.00, 0.98),
    "cat/308.jpg": (0.05, 0.00, 0.93, 0.95),
    "cat/309.jpg": (0.00, 0.02, 1.00, 1.00),
    "dog/300.jpg": (0.25, 0.45, 0.97, 0.95),
    "dog/301.jpg": (0.05, 0.05, 0.87, 1.00),
    "dog/302.jpg": (0.10, 0.07, 0.73, 0.83),
    "dog/303.jpg": (0.14, 0.10, 0.95, 0.88),
    "dog/304.jpg": (0.03, 0.08, 0.95, 0.88),
    "dog/305.jpg": (0.22, 0.10, 1.00, 1.00),
    "dog/306.jpg": (0.00, 0.08, 0.83, 1.00),
    "dog/307.jpg": (0.28, 0.08, 0.73, 0.97),
    "dog/308.jpg": (0.08, 0.10, 0.93, 0.98),
    "dog/309.jpg": (0.10, 0.02, 0.87, 0.97),
}
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")


def classifier(folder):
    keras.utils.set_random_seed(0)
    paths, names, _ = photos(folder)
    kept = [f"{p.parent.name}/{p.name}" not in BOXES for p in paths]
    x = load_images(np.array(paths)[kept], SIZE)
    y = np.unique(names, return_inverse=True)[1][kept]
    model = build(2, SIZE)
    model.compile("adam", "sparse_categorical_crossentropy")
    keras_fast.fine_tune(model, x, y, epochs=4, verbose=0)
    return model


def inside(heatmaps):
    """Share of each map's heat that lies inside its box."""
    shares = []
    for heat, box in zip(heatmaps, BOXES.values(), strict=True):
        height, width = heat.shape
        left, top, right, bottom = (
            round(share * side)
            for share, side in zip(box, [width, height] * 2, strict=True)
        )
        shares.append(heat[top:bottom, left:right].sum() / heat.sum())
    return np.array(shares)


def main():
    folder = Path(sys.argv[1])
    model = classifier(folder)
    paths = [folder / name for name in BOXES]
    flat = inside(np.ones((len(BOXES), 224, 224)))
    rows = [["chance", f"{flat.mean():.3f}", f"{flat.min():.3f}"]]
    images = load_images(paths, SIZE)
    module = sys.modules["keras_fast.inference.grad_cam"]
    for side in (1, module.LEAST_SIDE):
        module.LEAST_SIDE = side
        shares = inside(inference.grad_cam(model, images).heatmaps)
        name = "3 x 3" if side == 1 else f"at least {side} x {side}"
        rows.append([name, f"{shares.mean():.3f}", f"{shares.min():.3f}"])
    head = ["feature maps", "heat inside the box", "lowest"]
    measure.report("grad_cam", measure.table(head, rows))


if __name__ == "__main__":
    main()
