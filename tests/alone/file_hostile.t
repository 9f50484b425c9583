#!/usr/bin/python3
"""Files whose demultiplexer crashes or hangs, or is taken over and says what would bring the server down or
keep it waiting: it does so in a sandboxed process. The server and the other cameras go on, each such camera
says what happened, and so does counting such a file.

The decoder is one whose faults the files ask for (tests/decoder_faults.c)."""
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import tap
from tap import BUILD, SLOW, equal, folder, ok, wait_for

FAULTS = {"opencrash": "opened: crash", "readcrash": "played: crash", "openhang": "opened: hang", "readhang": "played: hang",
          "liar": "opened: closed", "talkhang": "opened: talks"}
place = folder()
shutil.copy(tap.PROGRAM, os.path.join(place, "sightline"))
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "gpu", "models", "default.onnx")
shutil.copy(os.path.join(BUILD, "tests", "sightline-decode-faulty"), os.path.join(place, "sightline-decode"))
tap.PROGRAM = os.path.join(place, "sightline")


def clip(name, title, container="mp4"):
    path = os.path.join(place, f"{name}.{container}")
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x192:rate=25:duration=4", "-c:v", "libx264",
                    "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-metadata", f"title={title}", path],
                   check=True, timeout=60 * SLOW)
    return path


FILES = {"good": clip("good", "a film"), "better": clip("better", "another film", "mkv")}
FILES.update({name: clip(name, title) for name, title in FAULTS.items()})


def play(name):
    """Beside two others, on one worker: they share a process until this one is put among its like."""
    cameras = "".join(f"""
  {each}:
    ffmpeg: {{inputs: [{{path: "{FILES[each]}"}}]}}
""" for each in ("good", "better", name))
    server = tap.Server(f"http: {{port: 0}}\ndata: {place}/data-{name}\nmodel: {MODEL}\ndecode: {{workers: 1}}\ncameras:{cameras}")
    grew = {}
    gap = {"good": 0.0, "better": 0.0}
    last = dict.fromkeys(gap, 0)
    said = ""
    begun = time.monotonic()
    while time.monotonic() < begun + 40 * SLOW and (not said or time.monotonic() < begun + 5):
        for camera in server.get("/api/v1/cameras")["cameras"]:
            now, which = time.monotonic(), camera["name"]
            if which == name:
                said = camera["reason"] if camera["reason"].startswith("decoder:") else said
            elif camera["frames"]["decoded"] > last[which]:
                # What it takes to start is not a gap.
                gap[which] = max(gap[which], now - grew.get(which, now))
                last[which], grew[which] = camera["frames"]["decoded"], now
        time.sleep(0.05)  # how often another process is looked at
    for which, start in grew.items():
        gap[which] = max(gap[which], time.monotonic() - start)
    ok(min(last.values()) > 0 and max(gap.values()) < 3 * SLOW,
       f"{name}: the others' longest time without a picture {max(gap.values()):.2f} s, {sum(last.values())} pictures")
    # The address sanitizer ends it in its own way.
    what = "hung" if "hang" in name else "said what it may not say" if name == "liar" else "decoder: " if BUILD.rstrip("/").endswith("asan") else "crashed, signal"
    ok(what in said, f"{name} says why: {said}")
    equal(server.process.poll(), None, "the server runs")
    ok("sightline_decode_restarts_total 0\n" not in server.request("/metrics")[2].decode(), "the metrics count the processes")
    equal(server.stop(), 0, "and stops as it should")


for fault in FAULTS:
    play(fault)
for name, path in FILES.items():
    result = subprocess.run([tap.PROGRAM, "count", path, "--model", MODEL, "--fps", "5", "--line", "a:0,0.5,1,0.5"], capture_output=True, text=True, check=False,
                            timeout=60 * SLOW)
    said = result.stderr.strip()[-80:]
    if FAULTS.get(name, "").startswith("opened"):
        ok(result.returncode == 1 and "decoder: " in said and "total" not in result.stdout, f"{name} is not counted: {said}")
    elif name in FAULTS:
        ok(result.returncode == 3 and "decoder: " in said and "not complete" in result.stdout,
           f"{name} is counted as far as it goes, and that is said: {said}")
    else:
        equal(result.returncode, 0, f"{name} is counted")
tap.done()
