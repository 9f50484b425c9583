#!/usr/bin/python3
"""The motion gate on the clips: with it every line is crossed as often as without, at several rates; and where nothing moves
it saves nearly all pictures and still loses nobody who comes.

The clips are busy, so two are made from one: with its empty room for 40 s before it and after it, and the noise of a camera by
day and in the dark. By day the gate sleeps through that, in the dark through a part of it, and who comes then wakes it.
"""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import MATERIAL, PROGRAM, SLOW, diag, done, equal, folder, footage, material, ok, skip_all

if SLOW > 1:
    skip_all("minutes under a sanitizer; the server's tests run the same pipeline there")
if shutil.which("ffmpeg") is None:
    skip_all("no ffmpeg")
ROOM = "one-by-one-person-detection"
CLIP_FPS, EMPTY_S = 10, 40
PLACE = folder()


def count(source, truth, fps, motion):
    """Pictures that were analysed, and {line: {class: both ways}}."""
    arguments = []
    with open(os.path.join(MATERIAL, "ground_truth", truth + ".json"), encoding="utf-8") as file:
        for number, line in enumerate(json.load(file)["lines"]):
            arguments += ["--line", f"l{number}:" + ",".join(str(v) for v in line["p1"] + line["p2"])]
    result = subprocess.run([PROGRAM, "count", source, "--json", "--fps", str(fps), "--motion", motion, *arguments],
                            capture_output=True, text=True, check=False, timeout=300)
    if result.returncode != 0:
        diag(result.stderr)
        return 0, {motion: result.returncode}
    answer = json.loads(result.stdout)
    return answer["frames_analysed"], {line["name"]: line["classes"] for line in answer["lines"]}


def make(name, noise):
    clip, path = material(f"videos/{ROOM}.mp4"), os.path.join(PLACE, name)
    still = f"trim=start_frame=30:end_frame=31,loop=loop={EMPTY_S * CLIP_FPS - 1}:size=1,setpts=N/{CLIP_FPS}/TB"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", clip, "-filter_complex",
                    f"[0:v]split=3[a][clip][b];[a]{still}[before];[b]{still}[after];[before][clip][after]concat=n=3,"
                    f"noise=alls={noise}:allf=t[out]", "-map", "[out]", "-r", str(CLIP_FPS), "-c:v", "libx264", "-preset", "ultrafast",
                    "-crf", "23", path], check=True, timeout=300)
    return path


def check(source, truth, fps):
    all_of, without = count(source, truth, fps, "off")
    some_of, gated = count(source, truth, fps, "on")
    equal(gated, without, f"{os.path.basename(source)} at {fps} a second: the same with the gate, {all_of - some_of} of {all_of} pictures saved")
    ok(sum(sum(ways.values()) for line in without.values() for ways in line.values()) > 0, "and something is counted")
    return all_of, some_of


for name in ("opendatacam_street", ROOM, "pedestrian_survaillance", "vehicle_survaillance", "car-detection"):
    check(material(f"videos/{name}.mp4"), name, 5)
check(material(f"videos/{ROOM}.mp4"), ROOM, 10)
check(footage(), "vtest", 5)
# Not all: it stays awake for some seconds after a movement, looks again every other second, and takes as long as the background
# needs to learn that the last person has gone.
for file, level, share in (("day.mp4", 4, 0.6), ("night.mp4", 12, 0.3)):
    everything, some = check(make(file, level), ROOM, 5)
    still = 2 * EMPTY_S * 5
    ok(everything - some > share * still, f"of {still} pictures of an empty room {everything - some} are saved")
done()
