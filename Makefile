# Every target sets up what it needs in .venv, once, and two of them in an
# environment of their own. It installs again only when pyproject.toml or the
# file of constraints changes.

# Python 3.11, 3.12 or 3.13.
PYTHON ?= python3
# Passed on to pytest: make test ARGS="-k one_cycle".
ARGS ?=
# What `make test-torch` runs; with CORE=tests everything.
CORE ?= tests/test_*.py tests/_files tests/_keras tests/callbacks tests/finder \
	tests/layers tests/metrics tests/optimizers tests/plots tests/schedules \
	tests/training tests/transfer

# What `make test-oldest` runs: what stands on the inside of Keras, and every
# example in a docstring.
CALLBACKS := lr_finder one_cycle own_steps param_scheduler recorder \
	resumable_checkpoint sgdr snapshot_ensemble used_rates weight_averaging
OLDEST ?= tests/test_public_api.py tests/test_precision.py \
	tests/_keras/test_batches.py tests/_keras/test_first_trace.py \
	tests/_keras/test_gradients.py \
	tests/_keras/test_held.py tests/_keras/test_rebind.py \
	$(CALLBACKS:%=tests/callbacks/test_%.py) tests/optimizers \
	tests/training/test_fine_tune.py tests/training/test_lr_find.py \
	tests/training/test_recipes_resumed.py tests/transfer/test_batch_norm.py \
	tests/transfer/test_freezing_state.py \
	tests/transfer/test_head_assemblies.py tests/transfer/test_weight_decay.py

BIN := .venv/bin
test-oldest .venv-oldest/.stamp: BIN := .venv-oldest/bin
test-no-tensorflow .venv-no-tensorflow/.stamp: BIN := .venv-no-tensorflow/bin
# Two at a time, a file each: models that a file's tests share are built once.
# At the end the slowest ten.
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations 10

# Without what TensorFlow says of a GPU that is not there.
TF_CPP_MIN_LOG_LEVEL ?= 3
# uv takes the Python that is here and downloads none.
UV_PYTHON_DOWNLOADS := never
# mkdocs is held below 2 already.
NO_MKDOCS_2_WARNING := 1
export TF_CPP_MIN_LOG_LEVEL UV_PYTHON_DOWNLOADS NO_MKDOCS_2_WARNING

# Without a question to anyone.
APT_GET := DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet

ifneq ($(shell command -v uv 2>/dev/null),)
CREATE := uv venv --quiet --clear --seed --python "$$(command -v $(PYTHON))"
INSTALL = uv pip install --quiet --python $(BIN)/python
else
CREATE := $(PYTHON) -m venv --clear
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.DEFAULT_GOAL := check
.NOTPARALLEL:
.PHONY: demo test test-jax test-torch test-oldest test-no-tensorflow \
	test-extras stress peer-test lint format types site site-test \
	site-test-if-chromium chromium bench check

demo: .venv/.stamp-demo
	$(BIN)/python examples/demo.py

# Most of the time would go into optimizing graphs that run for a few steps.
# `make test-oldest` optimizes them, as users' programs do.
test: .venv/.stamp-dev
	TEST_GRAPPLER=0 KERAS_BACKEND=tensorflow $(PYTEST) -m "not stress" $(ARGS)

# Here into compiling: less is optimized, by the emitters that take half the
# time, and what is compiled is kept.
JAX_CHEAPLY := JAX_DISABLE_MOST_OPTIMIZATIONS=1 \
	XLA_FLAGS="--xla_cpu_use_fusion_emitters=false \
	--xla_cpu_parallel_codegen_split_count=1" \
	JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.cache/jax \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
test-jax: .venv/.stamp-jax
	$(JAX_CHEAPLY) KERAS_BACKEND=jax $(PYTEST) -m "not stress and not once" $(ARGS)

# With a thread each: PyTorch's would wait for each other.
test-torch: .venv/.stamp-torch
	OMP_NUM_THREADS=1 KERAS_BACKEND=torch $(PYTEST) -m "not stress and not once" $(CORE) $(ARGS)

# With the lowest versions that pyproject.toml allows. There, a model that Keras
# has loaded warns when it is called.
test-oldest: .venv-oldest/.stamp
	KERAS_BACKEND=tensorflow $(PYTEST) -m "not stress and not once" \
		-W "ignore:The structure of" $(OLDEST) $(ARGS)

# The wheel itself, with JAX. `pytest` leaves the checkout out of the path.
test-no-tensorflow: .venv-no-tensorflow/.stamp
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation \
		--force-reinstall .
	KERAS_BACKEND=jax $(BIN)/pytest tests/extras/test_without_tensorflow.py $(ARGS)

# With KerasHub, KerasCV, ONNX, KerasTuner and Optuna; other tests pass them by.
test-extras: .venv/.stamp-cv .venv/.stamp-hub .venv/.stamp-onnx \
	.venv/.stamp-tuners .venv/.stamp-dev
	KERAS_BACKEND=tensorflow $(PYTEST) tests/extras $(ARGS)

stress: .venv/.stamp-dev
	KERAS_BACKEND=tensorflow $(PYTEST) -m "stress or crash" $(ARGS)
	$(MAKE) peer-test ARGS=

# Keras's own tests, inside its package, with something of ours in every fit().
# The settings of our tests are not for them.
PEERS := callbacks trainers models optimizers saving export distribution
peer-test: .venv/.stamp-jax
	for backend in tensorflow jax; do \
		KERAS_BACKEND=$$backend PYTHONPATH=tests $(BIN)/python -m pytest \
		-p identity -p no:cacheprovider --config-file /dev/null \
		--disable-warnings --timeout 600 \
		--pyargs $(PEERS:%=keras.src.%) $(ARGS) || exit 1; \
	done

lint: .venv/.stamp-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: .venv/.stamp-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: .venv/.stamp-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

# Tutorials run; .cache has their results until something they use changes.
site: .venv/.stamp-docs
	$(BIN)/mkdocs build --strict

# Opens every page in Chromium.
site-test: chromium site .venv/.stamp-site-test
	$(BIN)/python -m pytest --numprocesses 2 --confcutdir tests/site tests/site $(ARGS)

chromium:
	@command -v chromium >/dev/null || { $(APT_GET) update && \
		$(APT_GET) install --yes --no-install-recommends chromium; } || { \
		echo "make site-test needs Chromium: apt-get install chromium"; exit 1; }

# Not those that take data, packages or a GPU that have to be fetched first.
# Files that start with _ are helpers of the others.
FETCHED := fine_tuning_rate gpu grad_cam multi_label points recipes restoration \
	segmentation text text_speed
BENCH = $(filter-out $(FETCHED:%=benchmarks/%.py),$(wildcard benchmarks/[!_]*.py))
bench: .venv/.stamp-dev
	for file in $(BENCH); do $(BIN)/python $$file || exit 1; done

# The cheap ones first.
check: lint types site site-test-if-chromium test test-jax test-torch \
	test-oldest test-no-tensorflow

site-test-if-chromium:
	@if $(MAKE) chromium; then $(MAKE) site-test; else \
		echo "Left out: make site-test, for want of Chromium"; fi

.venv/bin/python .venv-oldest/bin/python .venv-no-tensorflow/bin/python:
	$(CREATE) $(@:/bin/python=)

.venv/.stamp-%: pyproject.toml constraints.txt .venv/bin/python
	$(INSTALL) --constraint constraints.txt --editable ".[$*]"
	touch $@

.venv/.stamp-jax: .venv/.stamp-dev
	$(INSTALL) --constraint constraints.txt jax==0.10.2 jaxlib==0.10.2
	touch $@

# pip, so that its settings say which build of torch this machine takes.
.venv/.stamp-torch: .venv/.stamp-dev
	$(BIN)/python -m pip install torch==2.13.0
	touch $@

# With Python 3.11 or 3.12: the lowest TensorFlow has no wheel for 3.13.
.venv-oldest/.stamp: pyproject.toml constraints-oldest.txt .venv-oldest/bin/python
	$(INSTALL) --constraint constraints-oldest.txt --editable ".[test]"
	touch $@

# What the package needs without TensorFlow, and what builds and tests it.
.venv-no-tensorflow/.stamp: constraints.txt .venv-no-tensorflow/bin/python
	$(INSTALL) --constraint constraints.txt keras numpy ml_dtypes matplotlib \
		pillow filelock jax==0.10.2 jaxlib==0.10.2 "hatchling>=1.27" \
		pytest pytest-timeout
	touch $@
