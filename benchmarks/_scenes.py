"""Made scenes: one to three pieces of clip art on a made background.

The clip art comes as an `.npz` of `x` (n, 128, 128, 3) uint8 on white, `mask`
(n, 128, 128), its alpha, `y` and `classes`, and `group`, in which
near-duplicates are together.
"""

from typing import NamedTuple

import keras
import numpy as np

PLACEHOLDERS = [22, 41, *range(950, 956)]  # "Linked Image Not Found"
MOST_OBJECTS = 3
SIZES = (0.5, 0.9)  # of an object's side, as shares of the image's


class ClipArt(NamedTuple):
    x: np.ndarray  # on white, 0 to 1
    alpha: np.ndarray  # (n, height, width, 1), 0 to 1
    y: np.ndarray
    group: np.ndarray
    classes: list[str]

    def take(self, rows):
        return self._replace(
            x=self.x[rows],
            alpha=self.alpha[rows],
            y=self.y[rows],
            group=self.group[rows],
        )


class Scenes(NamedTuple):
    images: np.ndarray  # (n, size, size, 3) uint8
    masks: np.ndarray  # (n, size, size) uint8: 0 background, 1 the first class
    shown: np.ndarray  # (n, classes): whether a pixel of the class is seen
    centres: np.ndarray  # (n, objects, 2), x and y in pixels; NaN for none


def load(path):
    with np.load(path, allow_pickle=False) as file:
        kept = np.delete(np.arange(len(file["y"])), PLACEHOLDERS)
        alpha = file["mask"][kept].astype("float32")
        return ClipArt(
            file["x"][kept].astype("float32") / 255,
            alpha.reshape(*alpha.shape[:3], 1) / max(alpha.max(), 1),
            file["y"][kept],
            file["group"][kept],
            [str(name) for name in file["classes"]],
        )


def split(art, seed):
    """Clip art to train with, and a quarter of the groups, of its own."""
    groups = np.random.default_rng(seed).permutation(np.unique(art.group))
    held_out = np.isin(art.group, groups[: len(groups) // 4])
    return art.take(~held_out), art.take(held_out)


def make(art, number, size, seed):
    """So many scenes of this clip art."""
    rng = np.random.default_rng(seed)
    images = np.empty((number, size, size, 3), "uint8")
    masks = np.zeros((number, size, size), "uint8")
    centres = np.full((number, MOST_OBJECTS, 2), np.nan, "float32")
    for i in range(number):
        image = background(size, rng)
        for k in range(rng.integers(1, MOST_OBJECTS + 1)):
            row = rng.integers(len(art.y))
            x, y, side = place(size, rng)
            art_there, alpha = drawn(art, row, side, rng)
            there = slice(y, y + side), slice(x, x + side)
            # What is on white loses it where the background is seen.
            image[there] = art_there + (1 - alpha) * (image[there] - 1)
            opaque = alpha[..., 0] > 0.5
            masks[i][there][opaque] = art.y[row] + 1
            rows, columns = np.nonzero(opaque)
            if len(rows):
                centres[i, k] = x + columns.mean(), y + rows.mean()
        images[i] = np.clip(image * 255, 0, 255)
    numbers = np.arange(1, len(art.classes) + 1)
    shown = (masks[..., None] == numbers).any(axis=(1, 2))
    return Scenes(images, masks, shown, centres)


def place(size, rng):
    """Left, top and side of an object that is wholly in the image."""
    side = int(size * rng.uniform(*SIZES))
    x, y = rng.integers(0, size - side + 1, 2)
    return x, y, side


def drawn(art, row, side, rng):
    """Colors on white and alpha at this size; half of them mirrored."""
    both = np.concatenate([art.x[row], art.alpha[row]], axis=-1)
    if rng.random() < 0.5:
        both = both[:, ::-1]
    both = resized(both, side)
    return both[..., :3], both[..., 3:]


def background(size, rng):
    """A gradient between two colors, clouds and grain."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    share = (np.cos(angle) * columns + np.sin(angle) * rows) / 2 + 0.5
    first, second = rng.uniform(0, 1, (2, 3))
    image = first + (second - first) * share[..., None]
    coarse = int(rng.integers(3, 17))
    clouds = rng.normal(0, 0.15, (coarse, coarse, 3)).astype("float32")
    grain = rng.normal(0, rng.uniform(0, 0.08), (size, size, 3))
    return np.clip(image + resized(clouds, size) + grain, 0, 1)


def resized(image, side):
    image = keras.ops.image.resize(image, (side, side), antialias=True)
    return np.asarray(keras.ops.convert_to_numpy(image))
