#!/usr/bin/python3
"""The whole server: one file camera and one RTSP camera, counts, history, events, metrics, restart."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rtsp import RtspServer
from tap import PROGRAM, SLOW, Server, diag, done, equal, material, ok, wait_for

MODEL = material("models/yolox_nano_coco_416.onnx")
STREET = material("videos/opendatacam_street.mp4")
SECRET = "c4n4ry-hunter2"
rtsp = RtspServer(STREET, "--auth", "digest", "--user", "admin", "--password", SECRET)
RULES = """    detect: {fps: 8}
    lines:
      in: {coordinates: "0.18,0.667,0.68,0.667", directions: {a_to_b: in, b_to_a: out}}
    zones:
      all: {coordinates: "0.02,0.3,0.98,0.3,0.98,0.98,0.02,0.98", inertia: 1}
"""
CONFIG = f"""http: {{port: 0}}
data: data
model: {MODEL}
log: {{level: debug}}
cameras:
  file:
    ffmpeg: {{inputs: [{{path: {STREET}}}]}}
{RULES}  net:
    ffmpeg: {{inputs: [{{path: "{rtsp.url.replace('//', '//admin:' + SECRET + '@')}"}}]}}
{RULES}  gone:
    ffmpeg: {{inputs: [{{path: /nonexistent/clip.mp4}}]}}
"""
server = Server(CONFIG)


def camera(name):
    return next(c for c in server.get("/api/v1/cameras")["cameras"] if c["name"] == name)


def total(name, counter):
    return next(c for c in server.get("/api/v1/counts")["counters"]
                if (c["camera"], c["counter"]) == (name, counter))["total"]


ok(wait_for(lambda: camera("file")["state"] == "streaming" and camera("net")["state"] == "streaming", 15),
   "both cameras stream")
ok(wait_for(lambda: camera("gone")["state"] == "backoff" and "no such file" in camera("gone")["reason"].lower(), 15),
   f"the one that is not there is tried again: {camera('gone')['state']}, {camera('gone')['reason']}")
equal((camera("net")["width"], camera("net")["height"]), (640, 360), "the RTSP camera's picture size")
ok(wait_for(lambda: total("file", "in")["a_to_b"] >= 3 and total("net", "in")["a_to_b"] >= 3, 40),
   "vehicles are counted on both")
events = server.events()
equal([e["seq"] for e in events], list(range(1, len(events) + 1)), "events are dense")
event = next(e for e in events if e["kind"] == "line_crossing")
ok(event["class"] in ("car", "bus", "truck") and 0 < event["confidence"] <= 1 and len(event["path"]) >= 2,
   f"an event has its evidence: {event}")
history = server.get("/api/v1/history?camera=file&counter=in&bucket=minute")
ok(history["buckets"] and sum(b["classes"].get("car", {"a_to_b": 0})["a_to_b"] for b in history["buckets"]) >= 2,
   f"history has it: {history['buckets'][-1]}")
status, headers, body = server.request("/metrics")
metrics = body.decode()
ok(status == 200 and "openmetrics-text" in headers["Content-Type"] and metrics.endswith("# EOF\n"), "OpenMetrics")
for family in ("sightline_crossings_total", "sightline_zone_occupancy", "sightline_camera_up",
               "sightline_inference_stage_seconds_bucket", "sightline_inference_shapes 1",
               "sightline_inference_shapes_refused_total 0", "sightline_build_info"):
    ok(family in metrics, f"metric {family}")
ok(re.search(r'sightline_camera_up\{camera="gone"\} 0', metrics), "camera_up tells what is down")
ready = server.get("/api/v1/ready")
ok(ready["status"] == "degraded" and any(p["what"] == "camera" for p in ready["problems"]), f"health: {ready}")

everything = metrics + server.log() + server.out() + "".join(
    server.request(path)[2].decode() for path in ("/api/v1/cameras", "/api/v1/ready", "/api/v1/version", "/api/v1/counts"))
ok(SECRET not in everything, "the camera's password is nowhere to be seen")

# The camera goes and comes back.
port = rtsp.port
rtsp.stop()
ok(wait_for(lambda: camera("net")["state"] in ("backoff", "connecting", "stalled"), 15), "a camera that is gone is noticed")
ok(camera("file")["state"] == "streaming", "the other goes on")
rtsp.start(port)
ok(wait_for(lambda: camera("net")["state"] == "streaming", 20), "it comes back by itself")
ok(camera("net")["reconnects"] >= 1, "and that is counted")

before = total("file", "in")
equal(server.stop(), 0, "stops cleanly")
server.start()
after = total("file", "in")
ok(after["a_to_b"] >= before["a_to_b"] > 0, f"a restart continues the count: {before}, {after}")
equal(server.stop(), 0, "stops cleanly again")

data = os.path.join(server.path, "data")
run = lambda *a: subprocess.run([PROGRAM, "ledger", *a, "--data", data], capture_output=True, text=True, check=False)
ok(run("verify").returncode == 0, "ledger verify")
stats = run("stats").stdout
ok(re.search(r"events +\d+", stats), "ledger stats: " + stats.splitlines()[0])
rows = run("export", "--format", "csv").stdout.splitlines()
exported = json.loads(run("export", "--format", "json").stdout)["events"]
ok(len(rows) - 1 == len(exported) >= len(events), f"export: {len(exported)} events, in CSV and JSON")
equal(exported[: len(events)], events, "the export is what the API gave")
equal(oct(os.stat(data).st_mode & 0o777), "0o700", "the folder is the owner's alone")
done()
