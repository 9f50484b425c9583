#!/usr/bin/python3
"""Another analysis rate of a camera that runs: its stream goes on, and a camera that is asked for single pictures is
asked as often as the new rate says."""
import http.server
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Server, done, equal, folder, footage, ok, wait_for

PICTURE = os.path.join(folder(), "picture.jpg")
subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240", "-frames:v", "1", "-pix_fmt", "yuvj420p",
                "-update", "1", PICTURE], check=True)
with open(PICTURE, "rb") as file:
    JPEG = file.read()
asked = []


class Camera(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(JPEG)))
        self.end_headers()
        self.wfile.write(JPEG)


http_camera = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
threading.Thread(target=http_camera.serve_forever, daemon=True).start()


def config(video, still, line="0.1,0.5,0.9,0.5"):
    return f"""http: {{port: 0}}
data: data
cameras:
  video:
    ffmpeg: {{inputs: [{{path: {footage()}}}]}}
    detect: {{fps: {video}}}
    lines: {{l: {{coordinates: '{line}'}}}}
  still:
    ffmpeg: {{inputs: [{{path: 'http://127.0.0.1:{http_camera.server_port}/picture.jpg'}}]}}
    detect: {{fps: {still}}}
"""


def camera(name):
    return [c for c in server.get("/api/v1/cameras")["cameras"] if c["name"] == name][0]


def rates(name):
    return camera(name)["fps"]


server = Server(config(2, 0.02))
ok(wait_for(lambda: camera("video")["frames"]["decoded"] > 5 and camera("still")["frames"]["decoded"] == 1, 20),
   "a video plays, and a first picture came")
equal(rates("still")["source"], 0.02, "the next one is to come in 50 s")
before = camera("video")["frames"]["decoded"]

server.write(config(4, 10))
ok(wait_for(lambda: rates("video")["given"] == 4 and rates("still")["given"] == 10, 20), "both at other rates")
ok(wait_for(lambda: len(asked) > 5, 20), "the camera is asked again at once, and often")
ok(wait_for(lambda: rates("still")["source"] == 10, 20), "that is how often pictures are awaited")
ok(camera("still")["frames"]["decoded"] > 1 and camera("video")["frames"]["decoded"] >= before,
   "both streams went on")

# A line at the same time: neither begins the stream again.
server.write(config(3, 0.05, line="0.2,0.1,0.2,0.9"))
ok(wait_for(lambda: rates("still")["source"] == 0.05, 20), "slowly again: a picture may take its time now")
equal((rates("video")["wanted"], camera("video")["lines"][0]["coordinates"][0][0]), (3, 0.2), "a line with it")
ok(camera("video")["frames"]["decoded"] >= before and camera("still")["frames"]["decoded"] > 5, "the streams went on")
equal([camera(name)["reconnects"] for name in ("video", "still")], [0, 0], "nothing was connected to again")
equal(server.stop(), 0, "stops cleanly")
http_camera.shutdown()
done()
