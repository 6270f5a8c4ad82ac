#!/bin/bash
# From a fresh clone to a verdict: installs what is missing, builds the release, runs all tests. The last lines are ctest's
# own summary; the exit code is ctest's. With CI set, warnings are errors. SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
bash scripts/setup.sh build
cmake --preset release ${CI:+-DGLMSLIM_WERROR=ON}
cmake --build --preset release
exec ctest --test-dir build/release --output-on-failure -j "$(nproc)"
