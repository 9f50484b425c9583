#!/usr/bin/python3
"""`sightline model quantize` from end to end: on pictures of the clips, then held against float32 on other pictures of them.

Of the boxes above 0.4 at least 97 % must have one of their class that overlaps by 0.9, with the layers that the tool itself
has chosen to keep in float32. FastestDet; with SIGHTLINE_QUANTIZE_FULL=1 YOLOX-nano as well, which takes half a minute.
"""
import json
import os
import pty
import shutil
import signal
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
# Ctrl-C while it searches, which is told on a terminal.
out = os.path.join(here, "stopped.onnx")
terminal, its_end = pty.openpty()
with subprocess.Popen([PROGRAM, "model", "quantize", os.path.join(models, CASES[0]), "--calibrate", measured, "-o", out],
                      stderr=its_end) as running:
    os.close(its_end)
    told, asked = b"", False
    while True:
        try:
            told += os.read(terminal, 4096)
        except OSError: # it has ended
            break
        if not asked and b"what each layer does" in told:
            asked = True
            running.send_signal(signal.SIGINT)
    code = running.wait(timeout=60)
ok(b"reading, file 1 of " in told and b"% " in told and b"how wide" in told, "it says how far it is throughout")
ok(asked and code == 1 and b"stopped" in told, f"Ctrl-C ends it: {told.splitlines()[-1].decode()}")
ok(not [name for name in os.listdir(here) if name.startswith("stopped")], "and no file is left behind")
os.close(terminal)
done()
