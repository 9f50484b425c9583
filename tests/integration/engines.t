#!/usr/bin/python3
"""The real models through our engine and through OpenCV's, on the same random pictures."""
import os
import subprocess
import sys
import tempfile

try:
    import cv2
    import numpy
except ImportError:
    print("1..0 # SKIP no python3-opencv")
    sys.exit(0)

build = os.environ.get("SIGHTLINE_BUILD", "build/release")
models = os.path.join(os.environ.get("SIGHTLINE_MATERIAL", "../shared/material"), "models")
program = os.path.join(build, "tests", "backend_cpu_test")
if not os.path.isdir(models):
    print("1..0 # SKIP no ../shared/material")
    sys.exit(0)

# name, side of the picture, greatest error beside 1 + the number's size
CASES = [
    ("yolox_nano_coco_416.onnx", 416, 1e-3),
    ("FastestDet.onnx", 352, 1e-3),
    ("nanodet_m.onnx", 416, 1e-3),
]

print("1..%d" % len(CASES))
failed = 0
for number, (name, side, tolerance) in enumerate(CASES, 1):
    path = os.path.join(models, name)
    random = numpy.random.default_rng(number)
    picture = random.uniform(-1, 1, (1, 3, side, side)).astype(numpy.float32)
    with tempfile.TemporaryDirectory() as folder:
        given, made = os.path.join(folder, "in"), os.path.join(folder, "out")
        picture.tofile(given)
        sizes = subprocess.run([program, "--dump", path, given, made], check=True,
                               capture_output=True, text=True).stdout.split()
        ours = numpy.fromfile(made, numpy.float32)
    net = cv2.dnn.readNetFromONNX(path)
    net.setInput(picture)
    outputs = net.forward(net.getUnconnectedOutLayersNames())
    # Which of several outputs comes first is each engine's own choice; their sizes tell them apart.
    pieces, at = {}, 0
    for size in map(int, sizes):
        pieces[size] = ours[at:at + size]
        at += size
    worst = max(float(numpy.max(numpy.abs(pieces[o.size] - o.ravel()) / (1 + numpy.abs(o.ravel()))))
                if o.size in pieces else float("inf") for o in outputs)
    good = len(outputs) == len(sizes) and worst <= tolerance
    failed += not good
    print("%sok %d - %s agrees with OpenCV, worst error %.1e" %
          ("" if good else "not ", number, name, worst))
sys.exit(1 if failed else 0)
