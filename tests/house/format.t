#!/bin/sh
# Every C file is as clang-format writes it.
set -u
command -v clang-format >/dev/null || { echo '1..0 # SKIP clang-format is not installed'; exit 0; }
echo 1..1
files=$(git ls-files '*.c' '*.h')
# shellcheck disable=SC2086
if problems=$(clang-format --dry-run --Werror $files 2>&1); then
    echo 'ok 1 - formatted'
else
    echo 'not ok 1 - formatted'
    printf '%s\n' "$problems" | grep error: | sed 's/^/# /' | head -20
    exit 1
fi
