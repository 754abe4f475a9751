"""Which images are there, and how are they split?

A folder of photographs has a folder of images for every class. A file
`groups.csv` (file, group) keeps images together that are of one thing.
"""

import csv
from pathlib import Path

import numpy as np

CLIP_ART = Path(__file__).parents[1] / "examples" / "data" / "clipart"
CLIP_ART_TASKS = {
    "clip art, six classes": None,
    "clip art, animal or food": ("animal", "food"),
    "clip art, animal or person": ("animal", "person"),
}
MOST_TEST = 400


def photos(folder):
    """Paths, labels and groups."""
    table = folder / "groups.csv"
    if table.exists():
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        paths = [folder / row["file"] for row in rows]
        groups = [row["group"] for row in rows]
    else:
        paths = sorted(p for p in folder.glob("*/*") if p.is_file())
        groups = [str(path) for path in paths]
    return paths, [path.parent.name for path in paths], groups


def clip_art(classes):
    paths = sorted(CLIP_ART.glob("*/*/*.png"))
    paths = [p for p in paths if classes is None or p.parent.name in classes]
    groups = [path.name.split("_")[0] for path in paths]
    return paths, [path.parent.name for path in paths], groups


def split(labels, groups, seed, num_train):
    """Numbers of the images to train on, and of those to test on."""
    rng = np.random.default_rng(seed)
    order = np.concatenate(
        [
            rng.permutation(np.flatnonzero(groups == group))
            for group in rng.permutation(np.unique(groups))
        ]
    )
    size = min(num_train or len(order), int(0.75 * len(order)))
    end = size
    while end < len(order) and groups[order[end]] == groups[order[end - 1]]:
        end += 1
    train, test = order[:size], rng.permutation(order[end:])
    known = np.isin(labels[test], labels[train])
    return train, test[known][:MOST_TEST]
