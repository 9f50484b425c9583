#!/usr/bin/python3
"""`sightline count` with the model that comes with it, on real video with ground truth made by eye: what
gpu/models/MODEL_CARD.md says of the clips. In 8 bits and in float32, whatever this machine has."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import MATERIAL, PROGRAM, SLOW, diag, done, equal, footage, material, ok, skip_all

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "gpu", "models", "default.onnx")
if SLOW > 1:
    skip_all("minutes under a sanitizer; the server's tests run the same pipeline there")
ok(os.path.getsize(MODEL) < 8e6, "the model is in the repository, and small")


def lines_of(truth_file):
    """['p1x,p1y,p2x,p2y', ...] in pixels, as the ground truth has them."""
    with open(os.path.join(MATERIAL, "ground_truth", truth_file + ".json"), encoding="utf-8") as file:
        return [",".join(str(v) for v in line["p1"] + line["p2"]) for line in json.load(file)["lines"]]


def count(source, truth_file, environment):
    """[(a_to_b, b_to_a), ...] of the lines of the ground truth; no model is named."""
    arguments = []
    for number, line in enumerate(lines_of(truth_file)):
        arguments += ["--line", f"l{number}:{line}"]
    result = subprocess.run([PROGRAM, "count", source, "--json", *arguments], capture_output=True, text=True, check=False,
                            env={**os.environ, **environment})
    if result.returncode != 0:
        diag(result.stderr)
        return []
    return [(line["total"]["a_to_b"], line["total"]["b_to_a"]) for line in json.loads(result.stdout)["lines"]]


def check(source, truth_file, truth, within):
    for name, environment in (("this machine's", {}), ("AVX2's", {"SIGHTLINE_CPU_ISA": "avx2"})):
        got = count(source, truth_file, environment)
        near = len(got) == len(truth) and all(abs(g - t) <= within for one, two in zip(got, truth) for g, t in zip(one, two))
        ok(near, f"{os.path.basename(source)}, {name} precision: {got}, truth {truth} within {within}")


check(material("videos/opendatacam_street.mp4"), "opendatacam_street", [(24, 0), (0, 11)], 1)
check(material("videos/one-by-one-person-detection.mp4"), "one-by-one-person-detection", [(0, 6)], 0)
check(material("videos/pedestrian_survaillance.mp4"), "pedestrian_survaillance", [(4, 0)], 0)
check(material("videos/vehicle_survaillance.mp4"), "vehicle_survaillance", [(4, 0)], 0)
check(material("videos/car-detection.mp4"), "car-detection", [(2, 2)], 0)
check(footage(), "vtest", [(12, 15), (4, 4)], 1)
first = count(footage(), "vtest", {})
equal(first, count(footage(), "vtest", {}), "the same video gives the same counts")
done()
