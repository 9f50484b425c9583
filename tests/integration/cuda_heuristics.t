#!/bin/sh
# cuDNN's heuristics accept every convolution of the real models, with its bias, activation and
# residual as one kernel, on cards from sm_75 to sm_90 that are described to it: no card is needed.
# What is not seen here is that it runs. The toolkit's stub stands for the driver, for this test's
# processes alone; without it cuDNN answers 0 and calls that success, which is checked too.
# Each pattern that is fused, once, and the YOLOv8n-shaped network; SIGHTLINE_CUDA_FULL=1: all models.
build=${SIGHTLINE_BUILD:-build/release}
program=$build/tests/cuda_heuristics
material=${SIGHTLINE_MATERIAL:-../shared/material}
skip() {
    echo "1..0 # SKIP $*"
    exit 0
}
[ -x "$program" ] || skip 'this build has no CUDA plug-in'
stub=
for folder in "${CUDA_HOME:-/usr/local/cuda}/lib64/stubs" /usr/local/cuda/lib64/stubs; do
    [ ! -e "$folder/libcuda.so" ] || stub=$folder/libcuda.so
done
[ -n "$stub" ] || skip "the toolkit has no stub of libcuda"
[ -d "$material/models" ] || skip "no $material"

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/stub"
ln -s "$stub" "$work/stub/libcuda.so.1"
models="$material/models/yolox_nano_coco_416.onnx"
if python3 bench/make_model.py yolov8n "$work/yolov8n_shaped.onnx" >"$work/make" 2>&1; then
    [ -z "${SIGHTLINE_CUDA_FULL:-}" ] && models= || models="$models $material/models/nanodet_m.onnx"
    models="$models $work/yolov8n_shaped.onnx"
fi
number=0
failed=0
result() { # rc text
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else
        echo "not ok $number - $2"
        failed=1
    fi
}
for model in --patterns $models; do
    name=$(basename -- "$model")
    name=${name#--}
    LD_LIBRARY_PATH=$work/stub:${LD_LIBRARY_PATH:-} timeout 120 "$program" "$model" >"$work/out" 2>"$work/err"
    grep '^#' "$work/out"
    sed 's/^/# /' "$work/err"
    for card in sm_75 sm_80 sm_86 sm_89 sm_90; do
        # shellcheck disable=SC2046
        set -- $(grep "^$name $card " "$work/out")
        [ "${3:-0}" -gt 0 ] && [ "${3:-0}" -eq "${4:-1}" ]
        result $? "$name on $card: ${4:-no} of ${3:-no} kinds of convolution are accepted"
    done
done
# Where there is no driver either, the same question without the stub must find nothing: what is
# counted above is an answer.
if ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
    timeout 120 "$program" "$material/models/nanodet_m.onnx" >"$work/out" 2>"$work/err"
    grep -q '^nanodet_m.onnx sm_90 [0-9]* 0$' "$work/out"
    result $? 'without any libcuda nothing is accepted'
fi
echo "1..$number"
exit $failed
