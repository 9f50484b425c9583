#!/usr/bin/python3
"""`sightline model quantize` from end to end: on pictures of the clips, then held against float32 on other pictures of them.

Of the boxes above 0.4 at least 97 % must have one of their class that overlaps by 0.9, with the layers that the tool itself
has chosen to keep in float32. FastestDet; with SIGHTLINE_QUANTIZE_FULL=1 YOLOX-nano as well, which takes half a minute.
"""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clip_pictures
from tap import MATERIAL, PROGRAM, SLOW, done, folder, ok, skip_all

WANTED = 0.97
CASES = ["FastestDet.onnx"]
if os.environ.get("SIGHTLINE_QUANTIZE_FULL"):
    CASES.append("yolox_nano_coco_416.onnx")

videos, models = os.path.join(MATERIAL, "videos"), os.path.join(MATERIAL, "models")
for missing, why in ((not os.path.isdir(videos), "no ../shared/material"), (shutil.which("ffmpeg") is None, "no ffmpeg"),
                     (SLOW > 1, "hundreds of runs of a network are too many under sanitizers")):
    if missing:
        skip_all(why)

here = folder()
measured, held_back = os.path.join(here, "measured"), os.path.join(here, "held_back")
clip_pictures.write(videos, measured, 0)
pictures = clip_pictures.write(videos, held_back, 1)


def run(*arguments):
    result = subprocess.run([PROGRAM, "model", *arguments, "--json"], capture_output=True, text=True, check=False, timeout=300)
    return json.loads(result.stdout) if result.returncode == 0 else {"failed": result.stderr}


for name in CASES:
    out = os.path.join(here, "8bits_" + name)
    report = run("quantize", os.path.join(models, name), "--calibrate", measured, "-o", out)
    ok(report.get("agreement", 0) >= WANTED and 0 < report.get("kept", 0) < report["layers"],
       f"{name} is quantized: {report}")
    ok(report.get("agreement_all", 1) < report.get("agreement", 0), "keeping layers in float32 has helped")
    answer = run("compare", out, *pictures, "--precision", "int8", "--backend", "cpu")
    row = answer["rows"][0] if answer.get("rows") else answer
    ok(row.get("precision") == "int8" and row["boxes"] > 200 and row["share"] >= WANTED,
       f"{name} in 8 bits on {len(pictures)} pictures that took no part: {row}")
    ok(row.get("boxes_extra", 1e9) <= row.get("boxes", 0) * (1 - WANTED), "and as few boxes are only there in 8 bits")
done()
