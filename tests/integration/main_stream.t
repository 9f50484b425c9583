#!/usr/bin/python3
"""A camera of two streams, against real RTSP servers: the wall gets the small one, the large view the large one, in
one connection for all who look and only while they do; and what a viewer is told when the main stream cannot be had."""
import json
import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from rtsp import RtspServer
from websocket import WebSocket

PASSWORD = "canary-m@in:w/rd"
QUOTED = "canary-m%40in%3Aw%2Frd"
HEADER = struct.Struct("<BBBBIHHqq")


class Viewer:
    """One WebSocket that looks at one camera."""

    def __init__(self, server, camera, stream=None, video="h264"):
        self.socket = WebSocket(server.port)
        self.camera = camera
        self.told = []      # (stream, note) of each "subscribed"
        self.pictures = []  # (width, height, key, pts in us, time of arrival)
        self.kinds = []     # of the pictures: 1 JPEG, 2 H.264
        self.subscribe(stream, video)

    def subscribe(self, stream, video="h264"):
        message = {"type": "subscribe", "topics": [f"video/{self.camera}"], "video": video}
        if stream:
            message["stream"] = stream
        self.socket.send(message)

    def look(self, until, seconds):
        """Reads until the condition holds; its last value."""
        end = time.monotonic() + seconds * tap.SLOW
        while not until() and time.monotonic() < end:
            message = self.socket.receive(0.5)
            if isinstance(message, bytes):
                _, kind, flags, _, _, width, height, pts, wall = HEADER.unpack_from(message)
                self.pictures.append((width, height, flags & 1, pts, wall))
                self.kinds.append(kind)
            elif message and message.get("type") == "subscribed":
                self.told += [(t.get("stream"), t.get("note")) for t in message["topics"] if t["topic"].startswith("video/")]
        return until()

    def size(self):
        return self.pictures[-1][:2] if self.pictures else None

    def sees(self, size, seconds=15):
        return self.look(lambda: self.size() == size, seconds)


def clients(rtsp):
    """What the RTSP server has said so far: connections that came, and that went."""
    return rtsp.came, rtsp.gone


def watch(rtsp):
    """Reads the server's lines in the background, so that they can be counted."""
    import threading
    rtsp.came = rtsp.gone = 0

    def read():
        for line in rtsp.process.stdout:
            rtsp.came += line.startswith("client")
            rtsp.gone += line.startswith("closed")
    threading.Thread(target=read, daemon=True).start()
    return rtsp


SMALL, LARGE = (320, 240), (640, 352)
sub = watch(RtspServer(None, "--width", "320", "--height", "240", "--fps", "10"))
main = watch(RtspServer(None, "--width", "640", "--height", "352", "--fps", "15", "--user", "viewer", "--password", PASSWORD,
                        "--auth", "digest"))
CONFIG = """http: {port: 0}
data: data
cameras:
  gate:
    ffmpeg:
      inputs:
        - {path: "rtsp://127.0.0.1:%d/live", roles: [detect]}
        - {path: "rtsp://viewer:%s@127.0.0.1:%d/live", roles: [view]}
  plain: {ffmpeg: {inputs: [{path: "rtsp://127.0.0.1:%d/live"}]}}
"""
server = tap.Server(CONFIG % (sub.port, QUOTED, main.port, sub.port))


def camera(name="gate"):
    return [one for one in server.get("/api/v1/cameras")["cameras"] if one["name"] == name][0]


tap.ok(tap.wait_for(lambda: camera()["state"] == "streaming", 20), "the camera is analysed")
tap.equal((camera()["width"], camera()["height"]), SMALL, "on its small stream")
tap.equal((camera()["main"] or {}).get("state"), "idle", "its main stream is known and rests")
tap.equal(camera("plain")["main"], None, "a camera of one stream has none")
tap.equal(main.came, 0, "nobody has connected to it")

# ---- the wall and the large view ----
wall = Viewer(server, "gate")
tap.ok(wall.sees(SMALL), "the wall sees the small one")
tap.equal(wall.told[0], (None, None), "and is told what it was always told")
large = Viewer(server, "gate", "main")
tap.ok(large.look(lambda: large.size() == SMALL, 10), "the large view sees the small one at first")
tap.ok(large.sees(LARGE), "and then the large one")
first = [p for p in large.pictures if p[:2] == LARGE][0]
tap.ok(first[2], "from a key frame on")
tap.equal(large.told[-1], ("main", None), "it is told so")
tap.ok(("sub", "the main stream is being connected") in large.told, "as it was told before why it was not")
state = camera()["main"]
tap.equal((state["state"], state["width"], state["height"], state["codec"]), ("streaming", *LARGE, "h264"), "the API says so")
second = Viewer(server, "gate", "main")
tap.ok(second.sees(LARGE, 5), "a second one sees it too")
tap.equal(clients(main), (1, 0), "in one connection")
count = len(wall.pictures)
tap.ok(wall.look(lambda: len(wall.pictures) > count + 5, 10) and set(p[:2] for p in wall.pictures) == {SMALL},
       "the wall has seen nothing else")

# ---- in step: pictures of one moment have one time in both streams ----
for viewer in (large, wall):
    viewer.look(lambda: len([p for p in viewer.pictures if p[4] > time.time() * 1e6 - 500e3]) >= 3, 10)
lead = [min(p[4] - p[3] for p in viewer.pictures[-10:] if p[:2] == size) for viewer, size in ((large, LARGE), (wall, SMALL))]
tap.ok(abs(lead[0] - lead[1]) < 100e3 * tap.SLOW, "both streams' times agree")
tap.diag(f"they differ by {abs(lead[0] - lead[1]) / 1000:.1f} ms")

# ---- it goes with its viewers ----
large.socket.close()
second.subscribe("sub")
tap.ok(second.look(lambda: second.size() == SMALL, 10), "back on the wall it is the small one again")
left = time.monotonic()
tap.ok(tap.wait_for(lambda: main.gone == 1 and camera()["main"]["state"] == "idle", 15), "the connection goes")
tap.ok(4 < time.monotonic() - left < 10 * tap.SLOW, "some seconds after the last one has left")
tap.equal(second.told[-1], (None, None), "who does not ask for it is not told of it")

# ---- who cannot have it is told why ----
jpeg = Viewer(server, "gate", "main", "jpeg")
tap.ok(jpeg.look(lambda: any(note and "takes JPEG" in note for _, note in jpeg.told), 10) and jpeg.look(lambda: jpeg.pictures, 10),
       "a view that takes JPEG gets the small one, and words")
plain = Viewer(server, "plain", "main")
tap.ok(plain.look(lambda: plain.told and plain.told[-1] == ("sub", "the camera has one stream"), 10) and plain.sees(SMALL),
       "a camera of one stream gives that")
tap.equal(main.came, 1, "nobody has connected for them")
bad = WebSocket(server.port)
bad.receive(5)
bad.send({"type": "subscribe", "topics": ["video/gate"], "stream": "both"})
tap.ok("stream must be" in json.dumps(bad.receive(5)), "another word is refused")

# ---- it fails while somebody looks ----
large = Viewer(server, "gate", "main")
tap.ok(large.sees(LARGE), "looked at again")
port = main.port
main.stop()
large.pictures = []
tap.ok(large.look(lambda: large.told[-1][0] == "sub" and "cannot be had" in (large.told[-1][1] or "") and large.size() == SMALL, 15),
       f"the main stream is lost: the small one, and words: {large.told[-1][1]}")
main.start(port)
watch(main)
tap.ok(large.sees(LARGE, 30), "it comes back by itself")

# ---- hot reload: another main stream, and the analysed one goes on ----
connects = sub.came
server.write((CONFIG % (sub.port, "wrong-word", main.port, sub.port)))
tap.ok(large.look(lambda: "user name or the password" in (large.told[-1][1] or ""), 15), f"a wrong password is told: {large.told[-1][1]}")
tap.equal(camera()["state"], "streaming", "what is analysed goes on")
tap.equal(sub.came, connects, "without a new connection")
server.write("""http: {port: 0}
data: data
cameras:
  gate:
    user: viewer
    password: "%s"
    ffmpeg:
      inputs: [{path: "rtsp://127.0.0.1:%d/live", roles: [detect]}, {path: "rtsp://127.0.0.1:%d/live", roles: [view]}]
""" % (PASSWORD, sub.port, main.port))
tap.ok(large.sees(LARGE, 20), "the camera's own credentials hold for both at one host")

# ---- what is not H.264 ----
CODEC = """http: {port: 0}
data: data
cameras:
  gate:
    ffmpeg:
      inputs: [{path: "rtsp://127.0.0.1:%d/live", roles: [detect]}, {path: "rtsp://127.0.0.1:%d/live", roles: [view]}]
"""
jpegs = RtspServer(None, "--width", "480", "--height", "272", "--fps", "5", "--codec", "mjpeg")
server.write(CODEC % (sub.port, jpegs.port))
tap.ok(large.look(lambda: large.told[-1][0] == "main" and large.kinds and large.kinds[-1] == 1, 20), "JPEG is shown as it comes")
server.write(CODEC % (sub.port, RtspServer(None, "--width", "480", "--height", "272", "--codec", "h265").port))
tap.ok(large.look(lambda: "kind that this view cannot show" in (large.told[-1][1] or "") and large.size() == SMALL, 20),
       "H.265 is not, and words")
tap.ok(tap.wait_for(lambda: camera()["main"]["state"] == "idle", 15), "nor is it held for nothing")

server.write("http: {port: 0}\ndata: data\ncameras: {gate: {ffmpeg: {inputs: [{path: 'rtsp://127.0.0.1:%d/live'}]}}}\n" % sub.port)
tap.ok(large.look(lambda: large.told[-1] == ("sub", "the camera has one stream"), 15), "and the second stream may go")
tap.equal(camera()["main"], None, "everywhere")

# ---- no secret anywhere ----
said = (server.log() + server.out() + server.request("/metrics")[2].decode() + json.dumps(server.get("/api/v1/cameras")) +
        str(large.told + jpeg.told + plain.told))
tap.ok("canary" not in said and QUOTED not in said and "wrong-word" not in said, "the password is in no log, metric or answer")
tap.ok("sightline_main_streams 0" in server.request("/metrics")[2].decode(), "the metric has come down")
tap.equal(server.stop(), 0, "the server stops")
tap.done()
