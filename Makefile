# Everything a person or a CI machine types. On a bare Debian 12 each target installs what it needs: packages of the
# system as root or through sudo, packages of Python into .venv.

PYTHON := .venv/bin/python

# What must be on PATH or be a file, and the packages that bring it: for everything, and for the tests. The guest
# compilers are Debian's, ziglang from PyPI (pyproject.toml) and one from npm, whose node comes from PyPI too.
TOOLS := arm-none-eabi-gcc cc python3
PACKAGES := gcc-arm-none-eabi libnewlib-arm-none-eabi gcc libc6-dev python3-venv
TEST_TOOLS := fish zsh qemu-system-arm stm32flash bossac /usr/bin/clang wasm-ld /usr/lib/wasm32-wasi/libc.a \
    /usr/lib/wasm32-wasi/libc++.a /usr/bin/rustc /usr/lib/rustlib/wasm32-wasi /lib/ld-linux.so.2
TEST_PACKAGES := fish zsh qemu-system-arm stm32flash bossa-cli clang libclang-rt-dev lld wasi-libc libclang-rt-dev-wasm32 \
	libc++-dev-wasm32 rustc libstd-rust-dev-wasm32 libc6-i386
TEST_SCRIPTS := assemblyscript@0.28.20

.DEFAULT_GOAL := help
.PHONY: help run test bench flashing conformance fuzz firmware check clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: firmware ## flash an emulated board over its serial port, show what the program prints
	@examples/demo.sh

test: firmware .venv/test-tools ## run all tests
	PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest -q -rs -n auto --dist worksteal

bench: firmware .venv/test-tools ## print the figures of the benchmarks, write them into build/bench
	$(PYTHON) -m tests.bench
	$(PYTHON) -m tests.bench.startup

flashing: firmware .venv/test-tools ## print how long flashing takes and what it survives, beside other tools
	$(PYTHON) -m tests.flash.report

SECONDS ?= 60
ROAD ?= pc

fuzz: firmware .venv/test-tools ## compare generated modules with wasmtime for SECONDS, on ROAD (pc, validator, a board)
	$(PYTHON) -m tests.fuzz --seconds $(SECONDS) --road $(ROAD)

COUNT ?= 10000

attack: firmware .venv/test-tools ## offer COUNT damaged and COUNT forged images to an emulated board
	$(PYTHON) -m tests.attack --count $(COUNT)

BOARDS ?= mps2-an386,mps2-an385,mps2-m0

conformance: firmware ## run the WebAssembly test suite in WASM_TESTSUITE on BOARDS, emulated
	$(PYTHON) -m tests.spec --boards $(BOARDS)

firmware: mcutool/firmware/built ## build the runtime of every board into mcutool/firmware

FIRMWARE_SOURCES := $(shell find firmware_runtime targets boards -type f -not -name '*.pyc') mcutool/devices.py

mcutool/firmware/built: .venv/installed $(FIRMWARE_SOURCES)
	$(PYTHON) firmware_runtime/build.py
	touch $@

check: .venv/installed ## lint, types, freshness of generated files
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy mcutool
	$(PYTHON) -m mcutool.generate --check

clean: ## remove what was built
	rm -rf .venv build dist mcutool.egg-info mcutool/firmware

.venv/installed: pyproject.toml setup.py
	@.ci/packages "$(TOOLS)" "$(PACKAGES)"
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --editable '.[test]'
	touch $@

.venv/test-tools: .venv/installed Makefile
	@.ci/packages "$(TEST_TOOLS)" "$(TEST_PACKAGES)"
	$(PYTHON) -m pip install --quiet --editable '.[test,guests]'
	PATH="$(CURDIR)/.venv/bin:$$PATH" npm install --global --prefix .venv --no-audit --no-fund --silent $(TEST_SCRIPTS)
	$(PYTHON) -m tests.flash.smp_servers
	$(PYTHON) -m firmware_runtime.fetch firmware_runtime/signature-requirements.txt
	touch $@
