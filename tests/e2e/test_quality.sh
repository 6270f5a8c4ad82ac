#!/bin/bash
# The figures of docs/results.csv, a seventh of them: every scheme, each with one of the ways of moving outliers. The whole table
# is `scripts/quality.sh --check`, a stage of scripts/deep.sh. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
if [ $sanitized = yes ]; then
    echo "SKIP: a comparison of figures; every scheme runs under the sanitizer in e2e_schemes"
    exit 77
fi
check "figures as in docs/results.csv" bash "$GS_SOURCE_DIR/scripts/quality.sh" --sample --program "$GLMSLIM"
finish
