# Thin: each line below is a command you could type.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# After the environment is made, its programs come first.
export PATH := $(abspath $(VENV))/bin:$(PATH)

# Files of tests side by side: each has fixtures that its tests share.
PYTEST = pytest --numprocesses logical --maxprocesses 4 --dist loadfile

# What `make results` makes; ablation and hippocampus_seeds need the download of the hippocampus.
COMPARISONS ?= acdc_seeds lits_seeds mmwhs_seeds hippocampus_seeds ablation
SEEDS ?= 0,1,2
# And of which cells the samplers' variances: SCALE/RECIPE_DATASET_LABELS_seedSEED.
VARIANCES ?= demo/arco_sg_snapshots_acdc_10pct_seed0

.DEFAULT_GOAL := help
.PHONY: help environment demo results test check lint format dry-run clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

environment: $(VENV)/.ready ## the Python environment, from requirements.lock

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --upgrade pip
	$(VENV)/bin/pip install --quiet --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --editable .
	touch $@

demo: environment ## Table 8 on synthetic phantoms, from raw files to the printed page
	snakemake --cores all results/tables/table8.csv
	cat results/tables/table8.md

results: environment ## comparisons and variances, published into docs/results.md and README.md
	snakemake --cores all --config seeds='[$(SEEDS)]' -- $(COMPARISONS:%=results/tables/%.csv) \
		$(VARIANCES:%=results/variance/%.csv)
	for name in $(COMPARISONS) $(VARIANCES); do arco publish $$name --into docs/results.md || exit 1; done
	arco publish acdc_seeds --into README.md

test: environment ## the whole test suite
	$(PYTEST)

check: lint dry-run ## format, lint, types, dry run, fast tests
	$(PYTEST) -m "not slow and not workflow"

lint: environment ## format, lint and types, without changing a file
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile workflow

format: environment ## put all code into its standard form
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow

dry-run: environment ## what would run for everything
	snakemake --dry-run --quiet -- all

clean: ## remove results and prepared data, keep downloads
	rm -rf results work logs data/prepared data/phantom
