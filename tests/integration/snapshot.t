#!/usr/bin/python3
"""Snapshots: a JPEG of the size that was asked for, of the picture that the camera shows now; who may have one; and
what those are told who get none."""
import json
import os
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from rtsp import RtspServer

TOKEN = "0123456789abcdef0123"
PASSWORD = "canary-sn@p"


def jpeg_size(data):
    """(width, height) out of the frame header, None when it is no whole JPEG."""
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9":
        return None
    at = 2
    while at + 9 < len(data):
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
    return None


camera = RtspServer(None, "--width", "640", "--height", "360", "--fps", "20", "--user", "u", "--password", PASSWORD, "--auth", "digest")
server = tap.Server(f"""http: {{port: 0, token: {TOKEN}}}
data: data
cameras:
  gate:
    ffmpeg: {{inputs: [{{path: "rtsp://u:canary-sn%40p@127.0.0.1:{camera.port}/live"}}]}}
    detect: {{fps: 1}}
  'Nörth gate':
    ffmpeg: {{inputs: [{{path: "rtsp://127.0.0.1:{tap.free_port()}/live"}}]}}
""", token=TOKEN)


def state(name):
    return [one for one in server.get("/api/v1/cameras")["cameras"] if one["name"] == name][0]["state"]


def message(answer):
    return json.loads(answer[2]).get("message", "")


GATE = "/api/v1/cameras/gate/snapshot"
tap.ok(tap.wait_for(lambda: state("gate") == "streaming" and state("Nörth gate") == "backoff", 20), "one camera plays, one does not")
began = time.monotonic()
status, headers, data = server.request(GATE)
took = time.monotonic() - began
tap.equal((status, headers["Content-Type"], headers["Cache-Control"]), (200, "image/jpeg", "no-store"), "a picture, that nobody keeps")
tap.equal(jpeg_size(data), (640, 360), "as large as the camera's")
tap.ok(took < 0.9 * tap.SLOW, "it is the next one that comes, not the next one that is analysed")
tap.diag(f"{took * 1000:.0f} ms, {len(data)} bytes")
for asked, size in ((320, (320, 180)), (16, (16, 9)), (641, (640, 360)), (8192, (640, 360))):
    tap.equal(jpeg_size(server.request(f"{GATE}?width={asked}")[2]), size, f"{asked} wide")
tap.equal(jpeg_size(server.request("/api/v1/snapshot?camera=gate&width=100")[2]), (100, 56), "by its name as a parameter")
status, headers, data = server.request(GATE, "HEAD")
tap.ok(status == 200 and int(headers["Content-Length"]) > 1000 and data == b"", "HEAD tells its length")
tap.ok(server.request(GATE)[2] != server.request(GATE)[2], "each is a new one")

# ---- many at once share the work ----
sizes = []


def fetch(width):
    sizes.append((width, jpeg_size(server.request(f"{GATE}?width={width}")[2])))


crowd = [threading.Thread(target=fetch, args=(width,)) for width in (64, 128, 256) * 8]
began = time.monotonic()
for one in crowd:
    one.start()
for one in crowd:
    one.join()
tap.equal(sorted(set(sizes)), [(64, (64, 36)), (128, (128, 72)), (256, (256, 144))], "24 requests of three widths, each gets its own")
tap.ok(time.monotonic() - began < 4 * tap.SLOW, "together, not one after the other")

# ---- who gets none, and why ----
answer = server.request("/api/v1/cameras/nobody/snapshot")
tap.ok(answer[0] == 404 and "no camera named nobody" in message(answer), "no such camera")
answer = server.request("/api/v1/snapshot?camera=N%C3%B6rth+gate")
tap.ok(answer[0] == 503 and "Nörth gate shows no picture now (backoff: " in message(answer), f"one that is not there: {message(answer)}")
for path, status in ((GATE + "?width=0", 400), (GATE + "?width=x", 400), (GATE + "?width=100000", 400), (GATE + "?wibble=1", 400),
                     ("/api/v1/cameras/a/b/snapshot", 404), ("/api/v1/cameras//snapshot", 404), ("/api/v1/cameras/" + "n" * 200 + "/snapshot", 404),
                     ("/api/v1/snapshot", 400)):
    tap.equal(server.request(path)[0], status, f"{path[:60]}: {status}")
tap.equal(server.request(GATE, "POST", b"")[0], 405, "nothing to post")
server.token = None
tap.equal((server.request(GATE)[0], server.request("/api/v1/snapshot?camera=gate")[0]), (401, 401), "nothing without the token")
server.token = TOKEN

# ---- a camera that falls silent, and clients that do not wait for it ----
os.kill(camera.process.pid, signal.SIGSTOP)
for _ in range(3):
    with socket.create_connection(("127.0.0.1", server.port)) as hasty:
        hasty.sendall(f"GET {GATE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
began = time.monotonic()
answer = server.request(GATE)
tap.ok(answer[0] == 503 and "gate" in message(answer) and time.monotonic() - began < 8 * tap.SLOW, f"it is told: {message(answer)}")
os.kill(camera.process.pid, signal.SIGCONT)
tap.ok(tap.wait_for(lambda: server.request(GATE)[0] == 200, 20), "and goes on with the camera")

said = server.log() + server.out() + server.request("/metrics")[2].decode() + str(answer)
tap.ok("canary" not in said, "the password is in no log, metric or answer")
tap.equal(server.stop(), 0, "the server stops")
tap.done()
