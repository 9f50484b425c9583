#!/usr/bin/python3
"""kill -9 in mid-run, again and again: no acknowledged event is lost, none is there twice, and the
sums of the roll-ups are the events. One file camera and one RTSP camera from a real RTSP server, whose
rules change in every run while they count."""
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from rtsp import RtspServer
from tap import PROGRAM, SLOW, Server, diag, done, equal, material, ok

RUNS = int(os.environ.get("SIGHTLINE_KILLS", "50"))
MODEL = material("models/yolox_nano_coco_416.onnx")
STREET = material("videos/opendatacam_street.mp4")
rtsp = RtspServer(STREET)
# The whole picture as a zone gives events from the first second of each run on.
RULES = """    detect: {fps: 8}
    lines:
      in: {coordinates: "0.18,0.667,0.68,0.667"}
      out: {coordinates: "0.69,0.667,0.836,0.667"}
    zones:
      all: {coordinates: "0.02,0.3,0.98,0.3,0.98,0.98,0.02,0.98", inertia: 1}
"""
# What is drawn anew while the others go on.
MOVED = """      moved: {coordinates: "0.02,%g,0.98,%g,0.98,0.98,0.02,0.98", inertia: 1}
"""


def config(top):
    rules = RULES + MOVED % (top, top)
    return f"""http: {{port: 0}}
data: data
model: {MODEL}
cameras:
  file:
    ffmpeg: {{inputs: [{{path: {STREET}}}]}}
{rules}  net:
    ffmpeg: {{inputs: [{{path: {rtsp.url}}}]}}
{rules}"""


acknowledged = {}
doubled = []
streaming = set()


def follow(address, stop):
    """Collects what the server acknowledges until it dies."""
    since = max(acknowledged, default=0)
    while not stop.is_set():
        try:
            with urllib.request.urlopen(f"{address}/api/v1/events?since={since}&limit=1000", timeout=5) as answer:
                events = json.loads(answer.read())["events"]
            for event in events:
                if event["seq"] in acknowledged:
                    doubled.append(event["seq"])
                acknowledged[event["seq"]] = event
                since = event["seq"]
        except (OSError, ValueError):
            if stop.is_set():
                return


seed = int(os.environ.get("SIGHTLINE_SEED", str(random.randrange(1 << 30))))
diag(f"seed {seed}, {RUNS} kills")
random.seed(seed)
server = None
for run in range(RUNS):
    if server is None:
        server = Server(config(0.3))
    else:
        server.start()
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(server.address, stop))
    thread.start()
    # A random moment of a run is what is tested: there is no event to wait for.
    for top in (0.4, 0.3):
        time.sleep(random.uniform(0.1, 1.25) * (2 if SLOW > 1 else 1))
        server.write(config(top))
    if run % 10 == 9:
        for camera in server.get("/api/v1/cameras")["cameras"]:
            if camera["state"] == "streaming":
                streaming.add(camera["name"])
    server.kill()
    stop.set()
    thread.join()

server.start()
found = {event["seq"]: event for event in server.events()}
counts = {(c["camera"], c["counter"]): c["total"] for c in server.get("/api/v1/counts")["counters"]}
equal(server.stop(), 0, "the last run stops cleanly")
diag(f"{len(acknowledged)} events acknowledged, {len(found)} in the ledger, cameras seen streaming: {sorted(streaming)}")
ok(len(acknowledged) >= RUNS, "there was something to lose")
equal(sorted(streaming), ["file", "net"], "both cameras played")
equal([seq for seq in acknowledged if seq not in found], [], "no acknowledged event is lost")
equal([seq for seq, event in acknowledged.items() if found.get(seq) != event], [], "none has changed")
equal(doubled, [], "none was told twice")
equal(sorted(found), list(range(1, len(found) + 1)), "sequence numbers have no hole")
summed = {}
for event in found.values():
    key = (event["camera"], event["counter"])
    total = summed.setdefault(key, {"a_to_b": 0, "b_to_a": 0, "entries": 0, "exits": 0})
    total[{"line_crossing": event["direction"], "zone_entry": "entries", "zone_exit": "exits"}[event["kind"]]] += 1
for key, total in sorted(summed.items()):
    equal({k: v for k, v in counts[key].items() if k != "occupancy"},
          {k: v for k, v in total.items() if k in counts[key]}, f"counts of {'/'.join(key)} are the sum of its events")
verify = subprocess.run([PROGRAM, "ledger", "verify", "--data", os.path.join(server.path, "data")],
                        capture_output=True, text=True, check=False)
ok(verify.returncode == 0, "ledger verify: " + (verify.stdout + verify.stderr).strip().splitlines()[-1])
done()
