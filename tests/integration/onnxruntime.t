#!/usr/bin/python3
"""The real models through our engine and through ONNX Runtime: all outputs, on noise and on a picture.

onnxruntime-node is looked for in NODE_PATH and where `./run bench inference` installs it; without it this is skipped.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from array import array

RELATIVE_MAX = 1e-3  # of each number, of its own size or of 1

build = os.environ.get("SIGHTLINE_BUILD", "build/release")
models = os.path.join(os.environ.get("SIGHTLINE_MATERIAL", "../shared/material"), "models")
program = os.path.join(build, "tests", "backend_cpu_test")
reference = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench/reference_outputs.mjs")


def skip(why):
    print("1..0 # SKIP " + why)
    sys.exit(0)


def packages():
    """Folders in which the package is installed."""
    given = [p for p in os.environ.get("NODE_PATH", "").split(":") if p]
    benches = [os.path.join(b, "bench/inference/onnxruntime/node_modules") for b in [build] + sorted(glob.glob("build/*"))]
    return [os.path.abspath(p) for p in given + benches if os.path.isdir(os.path.join(p, "onnxruntime-node"))]


def floats(path):
    numbers = array("f")
    with open(path, "rb") as file:
        numbers.frombytes(file.read())
    return numbers


def worst_of(ours, theirs):
    if len(ours) != len(theirs) or not ours:
        return float("inf")
    worst = 0.0
    for a, b in zip(ours, theirs):
        error = abs(a - b) / max(1.0, abs(b))
        if not error <= worst:  # also what is no number
            worst = error
    return worst


if not os.path.isdir(models):
    skip("no ../shared/material")
if shutil.which("node") is None:
    skip("no node")
found = packages()
if not found:
    skip("onnxruntime-node is not installed: ./run bench inference installs it, or name its node_modules in NODE_PATH")

environment = dict(os.environ, NODE_PATH=":".join(found))
CASES = [("yolox_nano_coco_416.onnx", None), ("yolox_nano_coco_416.onnx", "ref_bus_input_1x3x416x416_f32.bin"),
         ("FastestDet.onnx", None), ("nanodet_m.onnx", None), ("nanodet_m.onnx", "ref_bus_input_1x3x416x416_f32.bin")]

print("1..%d" % len(CASES))
failed = 0
for number, (name, picture) in enumerate(CASES, 1):
    path = os.path.join(models, name)
    with tempfile.TemporaryDirectory() as folder:
        out, made = os.path.join(folder, "theirs"), os.path.join(folder, "ours")
        given = [os.path.join(models, picture)] if picture else []
        subprocess.run(["node", reference, path, out, *given], check=True, env=environment, timeout=120)
        subprocess.run([program, "--dump", path, given[0] if given else out + ".input.bin", made], check=True,
                       stdout=subprocess.DEVNULL, timeout=120)
        with open(out + ".json", encoding="utf-8") as file:
            outputs = json.load(file)["outputs"]
        worst = worst_of(floats(made), floats(out + ".bin"))
    good = worst <= RELATIVE_MAX
    failed += not good
    print("%sok %d - %s on %s: %d outputs as ONNX Runtime gives them, worst error %.1e" %
          ("" if good else "not ", number, name, picture or "noise", len(outputs), worst))
sys.exit(1 if failed else 0)
