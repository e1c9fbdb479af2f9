# Two commands do all the set-up: `make demo` and `make test`. Each makes .venv once.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help demo test lint bench

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 8

demo: $(INSTALLED)  ## a whole small study on real input: five minutes on two cores, no GPU, no Slurm
	$(BIN)/python -m hpc_xfer.shards characters demo/shards --source sans serif symbols --samples 6000
	$(BIN)/python -m hpc_xfer.launch grids/demo.yaml --site grids/demo.site.yaml --on local

test: $(INSTALLED)  ## all tests
	$(BIN)/python -m pytest

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict hpc_xfer

bench: $(INSTALLED)  ## measured claims, side by side with what they are compared to
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.packing

$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("hpc_xfer needs Python 3.10 or newer: make PYTHON=python3.12" if sys.version_info < (3, 10) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  (echo "python3 has no venv module; on Debian: apt-get install python3-venv" && exit 1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -e .
	@touch $@
