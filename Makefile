# Each target works as the first command in a fresh clone: it makes .venv once and reuses it.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
RAY := .venv/ray
ROOMS := core kernels estimators experiments tests/laws
ARGS ?=
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile
GPU := PYTHONPATH=$(CURDIR)/build/source:$(CURDIR) $(PYTHON)

.PHONY: help demo test nats laws bench bench-compare gpu gpu-test gpu-bench lint format types clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --constraint constraints.txt --editable '.[experiments,export,queue,serve,text,test,dev,zuko]'
	mkdir -p .venv/source/jensen
	ln -sfn $(addprefix $(CURDIR)/,$(ROOMS)) .venv/source/jensen/
	touch $@

$(RAY): $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[sweep]'
	touch $@

demo: $(INSTALLED) ## train a VAE on scikit-learn's digits and print the report
	$(BIN)/python -m jensen.experiments.train vae --data digits $(ARGS)

test: $(INSTALLED) ## the whole test suite
	$(PYTEST) $(ARGS)

nats: $(INSTALLED) ## the queue's tests with NATS JetStream, which need nats-server
	$(PYTEST) -m nats tests/experiments/jobs $(ARGS)

laws: $(INSTALLED) $(RAY) ## the slow proofs, and the property tests with many more examples and statistics
	$(PYTEST) -m '(law or slow) and not nats' --hypothesis-profile=laws --hypothesis-show-statistics --timeout=3600 $(ARGS)

bench: $(INSTALLED) ## timings beside their baselines, kept in tests/bench/results.csv
	mkdir -p build
	$(BIN)/python -m pytest -q -o norecursedirs='.*' tests/bench --benchmark-quiet --timeout=600 --benchmark-json=build/bench.json $(ARGS)
	$(BIN)/python -m tests.bench.record build/bench.json

bench-compare: $(INSTALLED) ## what got slower between the last two commits that `make bench` recorded on like machines
	$(BIN)/python -m tests.bench.compare

gpu: # a CUDA device, and the packages on PYTHON's path; says so where there is none
	@$(PYTHON) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null \
	  || { echo 'no CUDA device, or no CUDA build of torch in $(PYTHON): nothing was run (choose a python with PYTHON=...)'; exit 1; }
	mkdir -p build/source/jensen
	ln -sfn $(addprefix $(CURDIR)/,$(ROOMS)) build/source/jensen/

gpu-test: gpu ## the operations and kernels on a CUDA device, at real sizes too; nothing is compiled but kernels
	$(GPU) -m pytest -q -W default tests/core/test_transforms.py tests/kernels -k 'not compile' --ignore tests/kernels/test_aot.py \
	  $$($(PYTHON) -c 'import xdist' 2>/dev/null && echo --numprocesses auto --maxprocesses 16 --dist worksteal) $(ARGS)

gpu-bench: gpu ## the kernels and the training steps on a CUDA device; needs torch and Triton alone
	$(GPU) -m tests.bench.gpu $(ARGS)

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
