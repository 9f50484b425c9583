#!/usr/bin/python3
"""A decoder process is killed while the server counts: its cameras go on, the others notice nothing,
and nothing stays behind when the server itself is killed."""
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import BUILD, PROGRAM, SLOW, Server, diag, done, equal, folder, material, ok, wait_for

CLIP = material("videos/opendatacam_street.mp4")
MODEL = material("models/FastestDet.onnx")
CAMERAS = 4
CONFIG = """
http: {port: 0}
data: DATA
model: MODEL
decode: {workers: 2, isolation: ISOLATION}
cameras:
""" + "".join(f"""
  cam{i}:
    ffmpeg: {{inputs: [{{path: "{CLIP}"}}]}}
    detect: {{fps: 5}}
    motion: {{enabled: true, mask: ["0.9,0,1,0,1,0.1,0.9,0.1"]}}
    lines: {{in: {{coordinates: "0.18,0.667,0.68,0.667"}}}}
""" for i in range(CAMERAS))


def config(isolation):
    place = folder()
    return CONFIG.replace("DATA", os.path.join(place, "data")).replace("MODEL", MODEL).replace("ISOLATION", isolation)


def decoders(parent):
    """Processes of sightline-decode that this one has started."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                stat = file.read()
        except OSError:
            continue
        after = stat[stat.rindex(")") + 2:].split()
        if "(sightline-decod" in stat and int(after[1]) == parent and after[0] != "Z":
            found.append(int(name))
    return sorted(found)


def cameras(server):
    return {camera["name"]: camera for camera in server.get("/api/v1/cameras")["cameras"]}


server = Server(config("process"))
workers = decoders(server.process.pid)
equal(len(workers), 2, "two decoder processes run")
ok(wait_for(lambda: all(c["frames"]["decoded"] > 25 for c in cameras(server).values()), 20), "every camera plays")
before = cameras(server)
events = len(server.events())
grew = {name: time.monotonic() for name in before}
stall = dict.fromkeys(before, 0.0)
last = {name: camera["frames"]["decoded"] for name, camera in before.items()}
os.kill(workers[0], signal.SIGSEGV)
end = time.monotonic() + 5 * min(SLOW, 3)
while time.monotonic() < end:
    for name, camera in cameras(server).items():
        now = time.monotonic()
        if camera["frames"]["decoded"] > last[name]:
            last[name] = camera["frames"]["decoded"]
            grew[name] = now
        stall[name] = max(stall[name], now - grew[name])
    time.sleep(0.05)  # how often another process is looked at
after = cameras(server)
for name in sorted(after):
    ok(stall[name] < 3 * SLOW, f"{name}: longest time without a picture {stall[name]:.2f} s")
ok(all(c["state"] == "streaming" for c in after.values()), "all are streaming")
equal([c["reconnects"] for c in after.values()], [0] * CAMERAS, "none had to begin anew")
ok(wait_for(lambda: len(server.events()) > events, 30), "counting goes on")
now = decoders(server.process.pid)
ok(len(now) == 2 and workers[0] not in now and workers[1] in now, "one process was replaced, the other was not")
metrics = server.request("/metrics")[2].decode()
ok("sightline_decode_restarts_total 1\n" in metrics, "the metrics say that one was started again")
# The address sanitizer takes the signal itself and ends the process with a code of its own.
why = "crashed, signal 11" if not BUILD.rstrip("/").endswith("asan") else "it is started again"
ok(why in server.log(), "and the log says why")
equal(sum("it is started again" in line for line in server.log().splitlines()), 1, "in one line")
ok(all("analysis" in c and "given" in c["fps"] for c in after.values()), "every camera says what it gets")

server.process.kill()
server.process.wait()
ok(wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in now), 5), "a server that is killed leaves none behind")

server = Server(config("thread"))
ok(wait_for(lambda: all(c["frames"]["decoded"] > 5 for c in cameras(server).values()), 20), "threads play, too")
equal(decoders(server.process.pid), [], "and start no process")
equal(server.stop(), 0, "the server stops")

# Wherever the video is decoded, the same pictures come out: the same counts, to the byte.
count = [subprocess.run([PROGRAM, "count", material("videos/vehicle_survaillance.mp4"), "--model", MODEL,
                         "--line", "down:215,200,460,200", "--isolation", kind],
                        capture_output=True, text=True, check=False, timeout=60 * SLOW).stdout
         for kind in ("process", "thread")]
ok(count[0] == count[1] and "down" in count[0], "a process and a thread count the same")

# A server without its decoder does not fall back to decoding hostile video by itself.
alone = folder()
shutil.copy(PROGRAM, os.path.join(alone, "sightline"))
with open(os.path.join(alone, "sightline.yml"), "w", encoding="utf-8") as file:
    file.write(config("process"))
result = subprocess.run([os.path.join(alone, "sightline"), "serve", "-c", os.path.join(alone, "sightline.yml")],
                        capture_output=True, text=True, check=False, timeout=60 * SLOW)
ok(result.returncode == 1 and "decode.isolation to thread" in result.stderr,
   "without sightline-decode it does not start, and says what to do")
if result.returncode != 1:
    diag(result.stderr)
done()
