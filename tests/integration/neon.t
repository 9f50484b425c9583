#!/bin/sh
# The kernels for 64-bit ARM compile, by Debian's cross compiler, and use what that machine has. Whether
# they compute the same as the others is seen by tests/unit/operator_test on such a machine.
set -u
compiler=aarch64-linux-gnu-gcc
command -v $compiler >/dev/null || { echo "1..0 # SKIP $compiler is not installed"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo 1..2
options='-std=c17 -D_GNU_SOURCE -O3 -I. -Wall -Wextra -Wshadow -Wconversion -Werror'
# shellcheck disable=SC2086
if $compiler $options -ffp-contract=fast -S -o "$folder/neon.s" gpu/cpu/kernels_neon.c 2>"$folder/log" &&
    $compiler $options -Wno-psabi -c -o "$folder/plain.o" gpu/cpu/kernels_plain.c 2>>"$folder/log" &&
    $compiler $options -c -o "$folder/kernels.o" gpu/cpu/kernels.c 2>>"$folder/log"; then
    echo 'ok 1 - compiled'
else
    sed 's/^/# /' "$folder/log" | head -20
    echo 'not ok 1 - compiled'
fi
count=$(grep -c 'fmla.*\.4s' "$folder/neon.s" 2>/dev/null)
[ "${count:-0}" -gt 500 ] || printf 'not '
echo "ok 2 - multiply-adds of four numbers: ${count:-0}"
