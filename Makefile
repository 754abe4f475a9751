# Every target sets up what it needs in .venv, once. It installs again only
# when pyproject.toml or constraints.txt changes.

# Python 3.11, 3.12 or 3.13.
PYTHON ?= python3
# Passed on to pytest: make test ARGS="-k one_cycle".
ARGS ?=
# What `make test-torch` runs; with CORE=tests everything.
CORE ?= tests/test_*.py tests/_files tests/_keras tests/callbacks tests/finder \
	tests/layers tests/optimizers tests/plots tests/schedules tests/training \
	tests/transfer

BIN := .venv/bin
# Two at a time, a file each: models that a file's tests share are built once.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

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
INSTALL := uv pip install --quiet --python $(BIN)/python
else
CREATE := $(PYTHON) -m venv --clear
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.DEFAULT_GOAL := check
.NOTPARALLEL:
.PHONY: demo test test-jax test-torch test-extras stress peer-test lint format \
	types site site-test site-test-if-chromium chromium bench check

demo: .venv/.stamp-demo
	$(BIN)/python examples/demo.py

test: .venv/.stamp-dev
	KERAS_BACKEND=tensorflow $(PYTEST) -m "not stress" $(ARGS)

test-jax: .venv/.stamp-jax
	KERAS_BACKEND=jax $(PYTEST) -m "not stress and not once" $(ARGS)

# With a thread each: PyTorch's would wait for each other.
test-torch: .venv/.stamp-torch
	OMP_NUM_THREADS=1 KERAS_BACKEND=torch $(PYTEST) -m "not stress and not once" $(CORE) $(ARGS)

# With KerasHub, KerasCV and ONNX; other tests pass them by.
test-extras: .venv/.stamp-cv .venv/.stamp-hub .venv/.stamp-onnx .venv/.stamp-dev
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
	$(BIN)/python -m pytest --confcutdir tests/site tests/site $(ARGS)

chromium:
	@command -v chromium >/dev/null || { $(APT_GET) update && \
		$(APT_GET) install --yes --no-install-recommends chromium; } || { \
		echo "make site-test needs Chromium: apt-get install chromium"; exit 1; }

# Files that start with _ are helpers of the others.
bench: .venv/.stamp-dev
	for file in benchmarks/[!_]*.py; do $(BIN)/python $$file || exit 1; done

# The cheap ones first.
check: lint types site site-test-if-chromium test test-jax test-torch

site-test-if-chromium:
	@if $(MAKE) chromium; then $(MAKE) site-test; else \
		echo "Left out: make site-test, for want of Chromium"; fi

$(BIN)/python:
	$(CREATE) .venv

.venv/.stamp-%: pyproject.toml constraints.txt $(BIN)/python
	$(INSTALL) --constraint constraints.txt --editable ".[$*]"
	touch $@

.venv/.stamp-jax: .venv/.stamp-dev
	$(INSTALL) --constraint constraints.txt jax==0.10.2 jaxlib==0.10.2
	touch $@

# pip, so that its settings say which build of torch this machine takes.
.venv/.stamp-torch: .venv/.stamp-dev
	$(BIN)/python -m pip install torch==2.13.0
	touch $@
