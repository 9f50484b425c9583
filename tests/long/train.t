#!/usr/bin/python3
"""The recipe of gpu/train, repeated small: it trains, its loss falls, it goes on from a checkpoint and from an
ONNX file, and what it writes runs in the engine with the same numbers as in PyTorch.

About two minutes of six passes over 400 pictures; SIGHTLINE_TRAIN_MINUTES=10 for as long as a stranger's
first try."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from tap import BUILD, PROGRAM, diag, done, equal, material, ok, skip_all

TRAIN = os.path.join(HERE, "..", "..", "gpu", "train")
PYTHON = "/usr/bin/python3"
MINUTES = os.environ.get("SIGHTLINE_TRAIN_MINUTES")
LENGTH, LONGER = (["--minutes", MINUTES], ["--minutes", str(float(MINUTES) * 1.1)]) if MINUTES else (
    ["--epochs", "6"], ["--epochs", "6.5"])
NUMBERS = """
import sys; sys.path.insert(0, sys.argv[1])
import numpy as np, torch, checkpoint, engine, net
model = checkpoint.load(sys.argv[2])
x = np.random.default_rng(1).uniform(-114, 141, (3, 128, 192)).astype(np.float32)
with torch.no_grad():
    mine = net.flatten(model(torch.from_numpy(x)[None] * net.INPUT_SCALE))[0].numpy()
runs = engine.Engine(sys.argv[3])
print(float(np.abs(mine - runs.ask(x)[0]).max()))
runs.close()
"""

GROWN = """
import sys; sys.path.insert(0, sys.argv[1])
import torch, checkpoint, net
small, grown = checkpoint.load(sys.argv[2]), net.Net("large").eval()
checkpoint.grow(grown, small)
x = torch.randn(1, 3, 128, 192)
with torch.no_grad():
    print(max(float((a - b).abs().max()) for a, b in zip(small(x), grown(x))))
"""

if subprocess.run([PYTHON, "-c", "import torch, cv2"], capture_output=True, check=False).returncode != 0:
    skip_all("python3-torch and python3-opencv are not installed")
data = os.path.dirname(material("train/labels.tsv"))
engine = os.path.join(BUILD, "bench", "training_engine")
subprocess.run(["ninja", "-C", BUILD, "training_engine"], capture_output=True, check=False)
environment = {**os.environ, "SIGHTLINE_ENGINE": engine}


def train(*arguments):
    """The JSON lines that it says."""
    result = subprocess.run([PYTHON, os.path.join(TRAIN, "train"), "--data", data, "--limit", "400", "--batch", "16",
                             *arguments], capture_output=True, text=True, env=environment, check=False)
    if result.returncode != 0:
        diag(result.stderr[-2000:])
    return result.returncode, [json.loads(line) for line in result.stdout.splitlines()]


def losses(lines):
    return [line["loss"][0] for line in lines if "loss" in line]


folder = tempfile.mkdtemp(prefix="sightline-train-")
try:
    code, lines = train("--output", folder, *LENGTH, "--evaluate-minutes", "0")
    equal(code, 0, "the training ends well")
    fell = losses(lines)
    diag(f"loss {fell}")
    ok(len(fell) >= 2 and fell[-1] < 0.97 * fell[0], "its loss falls")
    ok(any(line.get("part") == "held-out" for line in lines), "and its precision on the held-out pictures is told")
    model = os.path.join(folder, "model.onnx")
    equal(lines[-1].get("written"), model, "an ONNX file is written")

    result = subprocess.run([PYTHON, "-c", NUMBERS, TRAIN, os.path.join(folder, "checkpoint.pt"), model],
                            capture_output=True, text=True, env=environment, check=False)
    diag(result.stderr[-2000:])
    ok(result.returncode == 0 and float(result.stdout) < 1e-3, f"the engine gives the same numbers: {result.stdout}")
    result = subprocess.run([PYTHON, "-c", GROWN, TRAIN, os.path.join(folder, "checkpoint.pt")], capture_output=True,
                            text=True, check=False)
    ok(result.returncode == 0 and float(result.stdout) < 1e-4,
       f"a deeper network begins with what this one knows: {result.stdout}{result.stderr[-500:]}")
    result = subprocess.run([PROGRAM, "count", material("videos/vehicle_survaillance.mp4"), "--model", model, "--json",
                             "--fps", "2", "--line", "l:215,200,460,200"], capture_output=True, text=True, check=False)
    ok(result.returncode == 0 and json.loads(result.stdout)["lines"], f"sightline count runs it {result.stderr[:200]}")

    steps = [line["step"] for line in lines if "loss" in line][-1]
    code, lines = train("--output", folder, *LONGER, "--resume", "--evaluate-minutes", "0")
    ok(code == 0 and {"resumed_at_step": steps} in lines, "and goes on from its checkpoint")
    again = os.path.join(folder, "again")
    told = []
    for _ in range(2):  # one thread and one worker: the same numbers every time
        shutil.rmtree(again, ignore_errors=True)
        code, lines = train("--output", again, "--epochs", "0.4", "--from", model, "--threads", "1", "--rate", "0.0005")
        equal(code, 0, "it goes on from an ONNX file")
        told.append(losses(lines))
    equal(told[0], told[1], "the same seed gives the same losses")
    ok(told[0][-1] < fell[0], "with what it had learnt")
finally:
    shutil.rmtree(folder)
done()
