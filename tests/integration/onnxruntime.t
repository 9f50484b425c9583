#!/usr/bin/python3
"""What ONNX Runtime gives, and what we do: real models, networks of every family with random weights, and every operator.

All outputs of the real models on noise and on a picture; those of bench/make_model.py's families, made small, and of the real
OSNet, whose weights are made here, on noise. The models of tests/unit/operator_test.c, which are written in all opsets from 9
to 24, are run by ONNX Runtime alone: it is what they must give, by plain loops in C, that is checked.

onnxruntime-node is looked for in NODE_PATH and where `./run bench inference` installs it; without it this is skipped.
"""
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from array import array

RELATIVE_MAX = 1e-3  # of each number, of its own size or of 1
OPERATOR_MAX = 2e-4  # beside 1 + its size
# What is no number has no order in ONNX: ours is that of numpy. Trials 1, 2, 3 of each four have such.
NO_NUMBERS = "TopK, ArgMax, ArgMin"

build = os.environ.get("SIGHTLINE_BUILD", "build/release")
models = os.path.join(os.environ.get("SIGHTLINE_MATERIAL", "../shared/material"), "models")
tests = os.path.join(build, "tests")
here = os.path.dirname(os.path.abspath(__file__))
bench = os.path.join(here, "../../bench")


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
number = 0
failed = 0


def ok(good, what):
    global number, failed
    number += 1
    failed += not good
    print("%sok %d - %s" % ("" if good else "not ", number, what))


def compare(what, path, given=None, picture_last=True):
    """All outputs of one model for `given`, a file of numbers, or for noise. With channels last their order is ours only after
    a transposition."""
    out, made, ours = path + ".theirs", path + ".ours", given
    subprocess.run(["node", os.path.join(bench, "reference_outputs.mjs"), path, out, *([given] if given else [])], check=True,
                   env=environment, timeout=120)
    with open(out + ".json", encoding="utf-8") as file:
        info = json.load(file)
    if given is None:
        ours = out + ".input.bin"
    if not picture_last:
        _, height, width, channels = info["input"]["shape"]
        pixels = floats(ours)
        array("f", (pixels[i * channels + c] for c in range(channels) for i in range(height * width))).tofile(
            open(ours + ".planes", "wb"))
        ours += ".planes"
    subprocess.run([os.path.join(tests, "backend_cpu_test"), "--dump", path, ours, made], check=True,
                   stdout=subprocess.DEVNULL, timeout=120)
    worst = worst_of(floats(made), floats(out + ".bin"))
    ok(worst <= RELATIVE_MAX, "%s: %d outputs as ONNX Runtime gives them, worst error %.1e" % (what, len(info["outputs"]), worst))


with tempfile.TemporaryDirectory() as folder:
    for name, picture in [("yolox_nano_coco_416.onnx", None), ("yolox_nano_coco_416.onnx", "ref_bus_input_1x3x416x416_f32.bin"),
                          ("FastestDet.onnx", None), ("nanodet_m.onnx", None),
                          ("nanodet_m.onnx", "ref_bus_input_1x3x416x416_f32.bin")]:
        shutil.copy(os.path.join(models, name), folder)
        compare("%s on %s" % (name, picture or "noise"), os.path.join(folder, name), picture and os.path.join(models, picture))
    # A graph as PyTorch 2 exports it, with its weights in a file of their own.
    osnet = os.path.join(folder, "osnet_x0_25_msmt17.onnx")
    shutil.copy(os.path.join(models, os.path.basename(osnet)), osnet)
    numbers = random.Random(1)
    with open(osnet + ".data", "wb") as file:
        array("f", (numbers.uniform(-0.2, 0.2) for _ in range(1 << 20))).tofile(file)
    compare("OSNet with random weights", osnet)
    families = subprocess.run(["python3", os.path.join(bench, "make_model.py"), "--list"], check=True, capture_output=True,
                              text=True).stdout.split()
    for family in families:
        path = os.path.join(folder, family + ".onnx")
        subprocess.run(["python3", os.path.join(bench, "make_model.py"), family, "--size", "192", "--width", "8", "--classes", "20",
                        path], check=True, stdout=subprocess.DEVNULL)
        compare(family, path, picture_last=family != "ssd_mobilenet")

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([os.path.join(tests, "operator_test"), "--cases", folder], check=True)
    lines = subprocess.run(["node", os.path.join(here, "onnxruntime.mjs"), found[0], folder], check=True, capture_output=True,
                           text=True, timeout=300).stdout.splitlines()
    rows = {}
    for result in map(json.loads, lines):
        with open(os.path.join(folder, result["model"] + ".name"), encoding="utf-8") as file:
            rows.setdefault(file.read(), []).append(result)
    for name, results in rows.items():
        if name == NO_NUMBERS:
            results = [r for r in results if int(r["model"][3:]) % 4 == 0]
        wrong = [r for r in results if not r.get("worst", 1e30) <= OPERATOR_MAX]
        for r in wrong[:3]:
            print("# %s" % r)
        ok(results and not wrong, "%s: %d models are to give what ONNX Runtime gives" % (name, len(results)))
    ok(len(rows) >= 59, "%d rows" % len(rows))
print("1..%d" % number)
sys.exit(1 if failed else 0)
