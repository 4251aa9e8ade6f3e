# Two commands do all the set-up: `make demo` and `make test`. Everything lives in .venv.
#   PYTHON=python3.12 make demo                                      another interpreter (3.11 or newer)
#   PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" make demo
#                                                                    Linux without a GPU: torch's small build
PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test check bench mini clean

demo: .venv/installed
	$(BIN)/babelweave demo $(ARGS)

test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8 $(ARGS)

check: .venv/installed
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports

# Needs the real data (BABELWEAVE_DATA, default ../shared/data); prints ratios, the machine and the command.
bench: .venv/installed
	$(BIN)/python benchmarks/encode_speed.py
	$(BIN)/python benchmarks/encode_memory.py
	$(BIN)/python benchmarks/mlqa_parity.py

# Remakes the packaged encoder and generator in out/ from BABELWEAVE_DATA; two hours on two cores.
mini: .venv/installed
	$(BIN)/babelweave train babelweave-mini --out out/babelweave-mini
	$(BIN)/babelweave train babelweave-mini-qg --out out/babelweave-mini-qg --set alignment.segmenter=out/babelweave-mini

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "babelweave needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS) -e '.[test]'
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info
