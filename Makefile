# Two commands do all the set-up: `make demo` and `make test`. Each makes .venv once.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PEERS := .venv-peers/.installed
DOCS := .venv/.docs-installed

.PHONY: help demo test lint docs bench gpu slurm chromium

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 8

demo: $(INSTALLED)  ## a whole small study on real input: four minutes on two cores, no GPU, no Slurm
	$(BIN)/python -m hpc_xfer.shards characters demo/shards --source sans --samples 4000
	$(BIN)/python -m hpc_xfer.launch grids/demo/demo.yaml --site grids/demo/demo.site.yaml --on local

test: $(INSTALLED)  ## all tests; those that need Slurm are skipped where it is missing
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DOCS)  ## the site of docs/, into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open build/site/index.html (for its search: python3 -m http.server -d build/site)"

slurm:  ## install Slurm for the tests that need one (Debian and Ubuntu, as root or with sudo)
	@PATH="$$PATH:/usr/sbin:/sbin"; missing=; \
	for program in slurmctld slurmd sbatch munged slurmdbd mariadbd faketime cc; do \
	  command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ]; then echo "Slurm is installed"; exit 0; fi; \
	command -v apt-get >/dev/null || { echo "no apt-get here; install:$$missing" >&2; exit 1; }; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	$$sudo apt-get -qq update && $$sudo env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq \
	  install -y --no-install-recommends slurmctld slurmd slurm-client munge slurmdbd mariadb-server \
	  faketime gcc libc6-dev >/dev/null

chromium:  ## install Chromium for the tests of report.html (Debian, as root or with sudo)
	@for program in chromium chromium-browser google-chrome; do \
	  if command -v $$program >/dev/null; then echo "$$program is installed"; exit 0; fi; done; \
	command -v apt-get >/dev/null || { echo "no apt-get here; install: chromium" >&2; exit 1; }; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	$$sudo apt-get -qq update && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq \
	  install -y --no-install-recommends chromium >/dev/null

bench: $(PEERS)  ## measured claims, side by side with what they are compared to: half an hour
	$(BIN)/python -m benchmarks

gpu: $(INSTALLED)  ## on a GPU: the tests that need one, then what it reaches, in one table (gpu.md): ten minutes
	$(BIN)/python -m benchmarks.gpu --tests --minutes 9.5 --out gpu.md

$(DOCS): $(INSTALLED) requirements-docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

$(PEERS): $(INSTALLED) benchmarks/harness/peers.txt
	$(BIN)/python -m benchmarks.harness.peers
	@touch $@

$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("hpc_xfer needs Python 3.10 or newer: make PYTHON=python3.12" if sys.version_info < (3, 10) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  (echo "python3 has no venv module; on Debian: apt-get install python3-venv" && exit 1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -e .
	@touch $@
