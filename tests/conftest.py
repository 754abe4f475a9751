"""What every test starts from: one seed, no windows, two CPU devices."""

import math
import os
from collections import defaultdict

import keras
import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

mpl.use("Agg")

# What runs on one backend alone.
MARKERS = {"jax_only": "jax", "tensorflow_only": "tensorflow"}

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    # MirroredStrategy needs two devices. TensorFlow takes this only before
    # its first operation.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )

    # With autotuning, garbage collection of an iterator can wait for a minute
    # for its threads, and nothing else runs meanwhile.
    def _untuned(dataset, begin=tf.data.Dataset.__iter__):
        options = tf.data.Options()
        options.autotune.enabled = False
        return begin(dataset.with_options(options))

    tf.data.Dataset.__iter__ = _untuned

    def _optimize_graphs(whether):
        options = {"disable_meta_optimizer": not whether}
        tf.config.optimizer.set_experimental_options(options)

    if os.environ.get("TEST_GRAPPLER") == "0":
        _optimize_graphs(False)


@pytest.fixture
def backend():
    """Name of the Keras backend: tensorflow, jax or torch."""
    return keras.backend.backend()


@pytest.fixture(autouse=True)
def _own_collectives():
    # TensorFlow numbers what replicas exchange by strategy: two strategies in
    # one process would take each other's. Its own tests do the same.
    if keras.backend.backend() == "tensorflow":
        tf.distribute.MirroredStrategy._collective_key_base += 1000


@pytest.fixture(autouse=True)
def _optimized(request):
    marked = "optimized" in request.keywords
    if not marked or keras.backend.backend() != "tensorflow":
        yield
        return
    _optimize_graphs(True)
    yield
    _optimize_graphs(os.environ.get("TEST_GRAPPLER") != "0")


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)
    yield
    plt.close("all")


def pytest_collection_modifyitems(items):
    _skip_other_backends(items)
    combinations = defaultdict(list)
    for item in items:
        if item.get_closest_marker("matrix") and "stress" not in item.keywords:
            name = item.nodeid.partition("[")[0]
            combinations[name].append(item)
    for several in combinations.values():
        (kept,) = several[0].get_closest_marker("matrix").args
        for i in set(range(len(several))) - _spread(len(several), kept):
            several[i].add_marker("stress")


def _spread(number, kept):
    """So many of a product's indices: each parameter's values take turns."""
    step = max(number // kept, 1)
    while math.gcd(step, number) > 1:
        step += 1
    return {i * step % number for i in range(kept)}


def _skip_other_backends(items):
    name = keras.backend.backend()
    for marker, needed in MARKERS.items():
        skip = pytest.mark.skip(reason=f"needs {needed}, this is {name}")
        for item in items:
            if marker in item.keywords and name != needed:
                item.add_marker(skip)
