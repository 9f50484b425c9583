#!/usr/bin/python3
"""The server under load: several cameras, many clients that come and go, a configuration that
changes. Meant for the thread sanitizer: a race anywhere ends the server with a report."""
import http.client
import os
import random
import socket
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import SLOW, Server, diag, done, equal, footage, material, ok, wait_for
from websocket import WebSocket

MODEL = material("models/yolox_nano_coco_416.onnx")
CLIPS = [material("videos/opendatacam_street.mp4"), material("videos/pedestrian_survaillance.mp4"), footage()]


def config(cameras):
    text = f"http: {{port: 0}}\ndata: data\nmodel: {MODEL}\ncameras:\n"
    for i in range(cameras):
        text += (f"  c{i}:\n    ffmpeg: {{inputs: [{{path: {CLIPS[i % len(CLIPS)]}}}]}}\n    detect: {{fps: 5}}\n"
                 "    lines: {l: {coordinates: '0.1,0.6,0.9,0.6'}}\n"
                 "    zones: {z: {coordinates: '0.1,0.1,0.9,0.1,0.9,0.9,0.1,0.9', inertia: 1}}\n")
    return text


server = Server(config(4))
stop = threading.Event()
seen = {"messages": 0, "requests": 0, "video": 0}


def watch(number):
    while not stop.is_set():
        try:
            ws = WebSocket(server.port)
            topics = ["events", "counts", "health"] + [f"{kind}/c{i}" for i in range(4) for kind in ("tracks", "video")]
            ws.send({"type": "subscribe", "topics": topics, "since": 0, "video": "h264" if number % 2 else "jpeg"})
            end = time.monotonic() + random.uniform(0.5, 4)
            while time.monotonic() < end and not stop.is_set():
                message = ws.receive(1)
                if message is not None:
                    seen["video" if isinstance(message, bytes) else "messages"] += 1
            ws.close()
        except (OSError, EOFError):
            pass


def ask():
    paths = ("/api/v1/cameras", "/api/v1/counts", "/metrics", "/api/v1/events?since=0&limit=1000", "/api/v1/ready",
             "/api/v1/history?camera=c0&counter=l&bucket=minute", "/")
    while not stop.is_set():
        try:
            with urllib.request.urlopen(server.address + random.choice(paths), timeout=20) as answer:
                answer.read()
            seen["requests"] += 1
        except OSError:
            pass


threads = [threading.Thread(target=watch, args=(i,), daemon=True) for i in range(6)]
threads += [threading.Thread(target=ask, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()


def has_cameras(number):
    # A server that died is a failure below, not an exception here.
    try:
        return len(server.get("/api/v1/cameras")["cameras"]) == number
    except (OSError, http.client.HTTPException, ValueError):
        return server.process.poll() is not None and "died"


for cameras in (4, 2, 5, 3):
    server.write(config(cameras))
    if not ok(wait_for(lambda: has_cameras(cameras), 15) is True, f"{cameras} cameras"):
        break
    # Load for some seconds is the point; nothing in particular is waited for.
    time.sleep(4 if SLOW == 1 else 10)
stop.set()
for thread in threads:
    thread.join(30)
diag(seen)
ok(seen["messages"] > 100 and seen["requests"] > 20 and seen["video"] > 20, "clients got their fill")
ok(server.process.poll() is None, "the server lives")
equal(server.stop(), 0, "and stops cleanly")
if "Sanitizer" in server.log():
    diag(server.log()[-6000:])
ok("Sanitizer" not in server.log(), "without a sanitizer's report")
done()
