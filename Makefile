# `make book` and `make test` are all that a fresh machine needs; both set up .venv first.

SHELL := /bin/sh
PY := .venv/bin/python
STAMP := .venv/set-up
STARTED := $(shell date +%s)
# pyproject.toml lets any newer torch in, for those who have one; the stored outputs need the one that made them.
TORCH := $(shell sed -n 's/^ *"\(torch==.*\)",$$/\1/p' pyproject.toml)
PIP := -m pip install -qq --disable-pip-version-check
# The first interpreter that fits.  To choose another: make setup PYTHON=python3.13
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do \
	$$p -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)

# One thread per process: notebooks and tests run two at a time, and sums do not depend on the number of cores.
export OMP_NUM_THREADS ?= 1

# Studies of chapter 12, each one stored file.
BOARD := $(addprefix new_plates_,connectivity_map zebrafish yeast comas dahlin simulated \
	phases_per_batch phases_n_batches phases_strength phases_confounding phases_temperature)

.PHONY: help setup book html quick grid board bench test sync lint lock newest newest-torch colab mol2vec address dist clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed 's/:.*## */	/' | expand -t 14

setup:  ## create or update .venv (about 2 minutes the first time)
	@test -n "$(PYTHON)" || test -x $(PY) || { \
		echo "No Python 3.11, 3.12 or 3.13 with venv was found (Debian: apt-get install python3-venv)."; \
		echo "Name one: make setup PYTHON=/path/to/python3"; exit 1; }
	@wanted=$$(cat requirements.lock pyproject.toml | cksum); \
	if [ "$$(cat $(STAMP) 2>/dev/null)" != "$$wanted" ]; then \
		set -e; \
		test -x $(PY) || { echo "Creating .venv with $(PYTHON)"; "$(PYTHON)" -m venv .venv; }; \
		echo "Installing the locked packages, then torch"; \
		$(PY) $(PIP) --no-deps --require-hashes -r requirements.lock; \
		$(PY) $(PIP) "$(TORCH)"; \
		$(PY) $(PIP) --no-deps --editable .; \
		$(PY) -m pip check; \
		echo "$$wanted" > $(STAMP); \
	fi

book: setup  ## execute what changed, then build the book: _build/html/index.html
	@$(PY) book/execute.py
	@$(PY) book/build.py _build/executed

html: setup  ## build the book from the committed outputs; executes nothing
	@$(PY) book/build.py notebooks

quick: setup  ## execute every notebook at its default parameters
	@$(PY) book/execute.py

grid: setup  ## rerun every table of the paper (hours); after a kill it goes on where it was
	@$(PY) -m snakemake --configfile workflow/paper.yaml

board: setup  ## rerun the board and the phase diagram of new plates (hours); after a kill it goes on where it was
	@$(PY) -m infocore_mini.experiments $(BOARD)

bench: setup  ## measure speed and memory again (an hour): data/results/benchmark_*.json
	@for name in loss step retrieval featurise evaluate; do $(PY) -m benchmarks.$$name || exit 1; done

test: setup  ## everything that CI runs
	@$(PY) tests/run_all.py $(STARTED)

sync: setup  ## after editing notebooks/*.py: update the paired .ipynb and its outputs
	@$(PY) -m jupytext --quiet --update --to ipynb notebooks/*.py workflow/*.py
	@$(PY) book/execute.py
	@$(PY) book/store_outputs.py
	@$(PY) -m jupytext --quiet --test-strict --to py:percent notebooks/*.ipynb

lint: setup  ## ruff and mypy, without changing anything
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy

lock:  ## refresh requirements.lock (settings: [tool.uv.pip] in pyproject.toml)
	@"$(PYTHON)" -m venv _build/lock
	@_build/lock/bin/python -m pip install --quiet uv
	@_build/lock/bin/uv pip compile --quiet --upgrade pyproject.toml --output-file requirements.lock

newest-torch: setup  ## try the library with the newest torch, in its own environment (downloads up to a few GB)
	@$(PY) -m venv _build/newest-torch
	@_build/newest-torch/bin/python $(PIP) --no-deps --require-hashes -r requirements.lock
	@_build/newest-torch/bin/python $(PIP) --upgrade torch
	@_build/newest-torch/bin/python $(PIP) --no-deps --editable .
	@_build/newest-torch/bin/python -m pytest -q -n 2 --dist loadgroup tests/library

newest: setup  ## try the library and the studies with the newest of every package, in an environment of its own
	@$(PY) -m venv _build/newest
	@_build/newest/bin/python $(PIP) --upgrade --upgrade-strategy eager --editable ".[correct,experiments,test]"
	@_build/newest/bin/python -m pytest -q -n 2 --dist loadgroup tests/library tests/experiments

colab: setup  ## install beside what Colab holds (tests/colab.txt), see that it stays, and run the first chapter
	@$(PY) -m venv _build/colab
	@_build/colab/bin/python $(PIP) -r tests/colab.txt ipykernel ipywidgets papermill
	@_build/colab/bin/python $(PIP) ".[experiments]"
	@_build/colab/bin/python $(PIP) --no-index --no-deps -r tests/colab.txt  # fails if one was replaced
	@cd _build/colab && bin/papermill --no-progress-bar ../../notebooks/00_start_here.ipynb out.ipynb

dist: setup  ## build what the package index gets: dist/
	@rm -rf dist
	@$(PY) -m venv _build/dist
	@_build/dist/bin/python $(PIP) build
	@_build/dist/bin/python -m build --outdir dist .

mol2vec: setup  ## train the substructure vectors again (about 10 minutes): data/mol2vec.safetensors
	@$(PY) -m infocore_mini.experiments mol2vec

address: setup  ## replace the repository's address everywhere: make address TO=https://github.com/owner/name
	@$(PY) book/address.py "$(TO)"

clean:  ## remove everything that was built; keeps .venv
	rm -rf _build dist .snakemake notebooks/output book/assets/vendor .pytest_cache .ruff_cache .mypy_cache .hypothesis
