#!/bin/sh
# The kernels for 64-bit ARM compile, by Debian's cross compiler, and use what that machine has. Whether
# those for floats compute the same as the others is seen by tests/unit/operator_test on such a machine;
# those for 8 bits are run here, by an emulator: without dot products, with them, with those of two signs.
set -u
compiler=aarch64-linux-gnu-gcc
command -v $compiler >/dev/null || { echo "1..0 # SKIP $compiler is not installed"; exit 0; }
case ${SIGHTLINE_BUILD:-} in *asan | *tsan) echo '1..0 # SKIP it builds its own, without sanitizers' && exit 0 ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo 1..5
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
number=2
for machine in armv8-a armv8.2-a+dotprod armv8.6-a+i8mm; do
    number=$((number + 1))
    if ! command -v qemu-aarch64 >/dev/null || [ ! -e /usr/aarch64-linux-gnu/lib/libc.a ]; then
        echo "ok $number # SKIP no qemu-aarch64 or no C library for it: 8 bits on $machine"
        continue
    fi
    # shellcheck disable=SC2086
    if $compiler $options -march=$machine -static -ffp-contract=off -ffunction-sections -Wl,--gc-sections \
        -o "$folder/int8_test" tests/unit/int8_test.c gpu/cpu/int8.c gpu/cpu/int8_plain.c \
        gpu/cpu/int8_neon.c gpu/cpu/tiles.c gpu/graph.c -lm 2>"$folder/log" &&
        timeout 120 qemu-aarch64 -cpu max "$folder/int8_test" >"$folder/tap" 2>>"$folder/log" &&
        [ "$(grep -c '^ok .* neon_int8: ' "$folder/tap")" -eq 7 ] && ! grep -q '^not ' "$folder/tap"; then
        echo "ok $number - 8 bits on $machine: the same bytes as in plain C"
    else
        sed 's/^/# /' "$folder/log" "$folder/tap" | head -20
        echo "not ok $number - 8 bits on $machine: the same bytes as in plain C"
    fi
done
