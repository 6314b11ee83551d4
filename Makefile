# Everything a newcomer needs: `make demo`, `make test`. The environment goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLIP ?= demo/clip.mp4

.PHONY: help demo test test-live test-slow test-export test-export-slow test-gpu lint format bench schema deb clean

help:
	@echo "make demo    set up, make a clip, hide its faces, show before and after"
	@echo "make test    set up and run the tests"
	@echo "make test-live  the tests against real servers (.ci/packages.sh installs those)"
	@echo "make test-export  models to engines, in an environment of its own (PyTorch: 1 GB)"
	@echo "make test-export-slow  the same with YOLO, docTR, DeBERTa and Whisper, a quarter of an hour"
	@echo "make test-gpu  what only an NVIDIA GPU can show, and its benchmark (several GB of packages)"
	@echo "make lint    ruff (lint, format) and mypy"
	@echo "make format  let ruff rewrite the code"
	@echo "make bench   speed beside a plain transcode (CLIP=… for a clip of your own)"
	@echo "make schema  write configs/schema.json anew"
	@echo "make deb     a Debian package of the service, into dist/"
	@echo "make clean   remove environments and results"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "privaedge needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/privaedge demo demo

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m 'not slow and not live and not alone'
	$(BIN)/python -m pytest -m 'alone and not slow and not live'

test-live: $(STAMP)
	$(BIN)/python -m pytest -m 'live and not slow'

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

test-export:
	@PYTHON=$(PYTHON) .ci/export.sh

test-export-slow:
	@PYTHON=$(PYTHON) .ci/export.sh slow

test-gpu:
	@PYTHON=$(PYTHON) .ci/gpu.sh

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo/clip.mp4: | $(STAMP)
	$(BIN)/privaedge demo demo

bench: $(STAMP) $(CLIP)
	$(BIN)/python -m benchmarks.speed $(CLIP)

schema: $(STAMP)
	$(BIN)/privaedge config schema > configs/schema.json.new && mv configs/schema.json.new configs/schema.json

deb: $(STAMP)
	systemd/build_deb.sh $(BIN)/python dist

clean:
	rm -rf $(VENV) .venv-export .venv-gpu .bench demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
