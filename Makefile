# Each target works as the first command in a fresh clone: it makes .venv once and reuses it.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
ARGS ?=
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test laws bench gpu lint format types clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --constraint constraints.txt --editable '.[experiments,test,dev]'
	mkdir -p .venv/source/jensen
	ln -sfn $(CURDIR)/core $(CURDIR)/kernels $(CURDIR)/estimators $(CURDIR)/experiments .venv/source/jensen/
	touch $@

demo: $(INSTALLED) ## train a VAE on scikit-learn's digits and print the report
	$(BIN)/python -m jensen.experiments.train --model vae --data digits $(ARGS)

test: $(INSTALLED) ## the whole test suite
	$(PYTEST) $(ARGS)

laws: $(INSTALLED) ## the slow proofs, and the property tests with many more examples and statistics
	$(PYTEST) -m 'law or slow' --hypothesis-profile=laws --hypothesis-show-statistics --timeout=3600 $(ARGS)

bench: $(INSTALLED) ## timings: the ELBO, the VAE step, the training loop's overhead
	$(BIN)/python -m tests.bench $(ARGS)

gpu: ## the suite's kernel tests and the benches on a CUDA device; says so where there is none
	@$(PYTHON) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null \
	  || { echo 'make gpu: no CUDA device, or no CUDA build of torch in $(PYTHON): nothing was run (choose a python with PYTHON=...)'; exit 1; }
	mkdir -p build/source/jensen
	ln -sfn $(CURDIR)/core $(CURDIR)/kernels $(CURDIR)/estimators $(CURDIR)/experiments build/source/jensen/
	PYTHONPATH=$(CURDIR)/build/source:$(CURDIR) $(PYTHON) -m pytest -q -W default tests/core tests/kernels
	PYTHONPATH=$(CURDIR)/build/source:$(CURDIR) $(PYTHON) -m tests.bench --device cuda $(ARGS)

lint: $(INSTALLED) ## ruff check and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## apply ruff's fixes and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED) ## basedpyright on the library
	$(BIN)/basedpyright

clean: ## remove what make created, but no run folder
	rm -rf .venv build dist *.egg-info
