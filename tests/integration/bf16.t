#!/usr/bin/python3
"""Boxes of bfloat16 against those of float32, on pictures of the clips: of those above 0.4 at least 99 % must have one of their
class that overlaps by 0.9, and as few may be only there in bfloat16. For machines with bf16 in AVX-512 or AMX.
"""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clip_pictures
from tap import MATERIAL, PROGRAM, SLOW, diag, done, folder, ok, skip_all

# What is wanted, in percent.
MODELS = {"yolox_nano_coco_416.onnx": 99, "nanodet_m.onnx": 99, "FastestDet.onnx": 99}

videos, models = os.path.join(MATERIAL, "videos"), os.path.join(MATERIAL, "models")
for missing, why in ((not os.path.isdir(videos), "no ../shared/material"), (shutil.which("ffmpeg") is None, "no ffmpeg"),
                     (SLOW > 1, "hundreds of runs of a network are too many under sanitizers")):
    if missing:
        skip_all(why)

here = folder()
pictures = [picture for half in (0, 1) for picture in clip_pictures.write(videos, os.path.join(here, str(half)), half)]
for name, percent in MODELS.items():
    result = subprocess.run([PROGRAM, "model", "compare", os.path.join(models, name), *pictures, "--precision", "bf16", "--backend",
                             "cpu", "--json"], capture_output=True, text=True, check=False, timeout=300)
    if result.returncode != 0 and "no bf16" in result.stderr:
        skip_all("this machine has no bf16")
    row = json.loads(result.stdout)["rows"][0] if result.returncode == 0 else {"failed": result.stderr}
    boxes = row.get("boxes", 0)
    ok(row.get("precision") == "bf16" and boxes > 200 and 100 * row["share"] >= percent,
       f"{name}: of {boxes} boxes above 0.4 at least {percent} % agree with float32")
    ok(row.get("boxes_extra", boxes) <= boxes * (100 - percent) / 100, "and as few are only there in bfloat16")
    diag(row)
done()
