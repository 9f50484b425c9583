#!/bin/sh
# Networks that choose among candidates and look at places that they compute (transformer detectors,
# and those that end in a choice of the best) through the CUDA backend's plan and kernels, on the
# processor, against the CPU backend: tests/unit/cuda_models_test.c says how. Small ones with random
# weights; SIGHTLINE_CUDA_FULL=1: all families, of their usual size.
build=${SIGHTLINE_BUILD:-build/release}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
families='rtdetr yolov10n'
options='--size 192 --width 8 --classes 20'
if [ -n "${SIGHTLINE_CUDA_FULL:-}" ]; then
    families=$(python3 bench/make_model.py --list)
    options=
fi
models=
for family in $families; do
    # shellcheck disable=SC2086
    if ! python3 bench/make_model.py "$family" $options "$work/$family.onnx" >"$work/out" 2>&1; then
        sed 's/^/# /' "$work/out"
        echo "Bail out! no $family"
        exit 1
    fi
    models="$models $work/$family.onnx"
done
number=0
failed=0
for program in cuda_models_test cuda_models_wide_test; do
    # shellcheck disable=SC2086
    "$build/tests/$program" $models >"$work/out" 2>"$work/err"
    rc=$?
    number=$((number + 1))
    sed "s,$work/,,g; s/^/# /" "$work/out"
    if [ $rc -eq 0 ]; then echo "ok $number - $program: all families"; else
        sed 's/^/# /' "$work/err"
        echo "not ok $number - $program: code $rc"
        failed=1
    fi
done
echo "1..$number"
exit $failed
