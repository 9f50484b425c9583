#!/usr/bin/python3
"""Networks of every family, made small with random weights: each is a model that can be used, its head is recognised from its
outputs and its classes from its metadata; a classifier is told apart. Each runs in every precision and with every set of
kernels without oneDNN's reference code and without asking for memory (tests/unit/cpu_models_test.c).
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import BUILD, PROGRAM, done, equal, folder, ok

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench")
COUNTED = {name: name for name in ("person", "bicycle", "car", "motorcycle", "bus", "truck")}
HEADS = {"yolov5n": "yolov5", "yolov8n": "yolov8", "yolo11n": "yolov8", "yolov10n": "end_to_end", "rtdetr": "detr", "dfine": "detr",
         "ssd_mobilenet": "ssd", "resnet18": None, "mobilenet_v3": None}
NAMED = {"ssd_mobilenet": None}  # its file names no classes

here = folder()
families = subprocess.run(["python3", os.path.join(BENCH, "make_model.py"), "--list"], check=True, capture_output=True,
                          text=True).stdout.split()
equal(sorted(families), sorted(HEADS), "every family is looked at")
paths = []
for family in families:
    paths.append(os.path.join(here, family + ".onnx"))
    # An SSD is told from a transformer by its thousands of boxes.
    options = ["--size", "300"] if family == "ssd_mobilenet" else ["--size", "192", "--classes", "20"]
    subprocess.run(["python3", os.path.join(BENCH, "make_model.py"), family, "--width", "8", *options, paths[-1]], check=True,
                   stdout=subprocess.DEVNULL)
    result = subprocess.run([PROGRAM, "model", "check", paths[-1], "--json"], capture_output=True, text=True, check=False, timeout=60)
    answer = json.loads(result.stdout)
    if HEADS[family] is None:
        ok(result.returncode == 1 and "head" not in answer and not [o for o in answer["operators"] if not o["known"]],
           f"{family} is known, but no detector")
        continue
    equal((result.returncode, answer["usable"], answer.get("head")), (0, True, HEADS[family]), f"{family} is a {HEADS[family]}")
    if family not in NAMED:
        equal((answer["class_count"], answer["classes"]), (20, COUNTED), "  with the classes that its metadata names")
for path in paths:
    # Opened by one thread, run by others.
    result = subprocess.run([PROGRAM, "model", "bench", path, "--seconds", "0.05", "--threads", "2"], capture_output=True, text=True,
                            check=False, timeout=60)
    ok(result.returncode == 0, f"{os.path.basename(path)} runs on two threads")
result = subprocess.run([os.path.join(BUILD, "tests", "cpu_models_test"), *paths], capture_output=True, text=True, check=False,
                        timeout=300)
ran = [line for line in result.stdout.splitlines() if line.startswith("ok ") and "no step is" in line]
wrong = [line for line in result.stdout.splitlines() if line.startswith("not ok")]
ok(result.returncode == 0 and len(ran) >= len(paths) and not wrong, f"{len(ran)} runners of them: {wrong[:3]}")
done()
