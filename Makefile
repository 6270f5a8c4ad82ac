# Verbs over the CMake presets; everything else is in CMakeLists.txt. SPDX-License-Identifier: Apache-2.0
.PHONY: all release debug asan tsan clang test test-asan test-tsan demo check lint tidy format install clean help
.DEFAULT_GOAL := all
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
CTEST = ctest --output-on-failure -j $(JOBS) --test-dir build

all: release ## build build/release/glmslim and its quant_glm name

release debug asan tsan clang: ## build that preset under build/<preset>
	@[ -f build/$@/build.ninja ] || cmake --preset $@
	@cmake --build --preset $@

test: release ## all tests on the release build
	@$(CTEST)/release

test-asan: asan ## all tests under AddressSanitizer and UBSan
	@$(CTEST)/asan

test-tsan: tsan ## all tests under ThreadSanitizer
	@$(CTEST)/tsan

demo: ## the documented recipe on the small model in demo/
	@bash scripts/demo.sh

check: release ## the quick checks before a commit: rooms, style, symbols, format, unit tests
	@bash scripts/lint.sh quick
	@$(CTEST)/release -LE slow

lint: ## every check, clang-tidy and cppcheck included
	@bash scripts/lint.sh

tidy: ## clang-tidy on the files that differ from the last commit
	@bash scripts/tidy.sh --changed

format: ## rewrite the sources with clang-format
	@bash scripts/format.sh

install: release ## install to PREFIX (DESTDIR is honoured)
	@cmake --install build/release --prefix "$(PREFIX)"

clean: ## remove build/ and out/
	rm -rf build out

help: ## this list
	@grep -hE '^[a-z][a-z -]*:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F'\t' '{printf "make %-34s %s\n", $$1, $$2}'
