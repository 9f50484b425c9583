#!/usr/bin/python3
"""A server that is to decode on a card and finds none: its cameras play as they do without, and it says
why."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Server, done, equal, folder, material, ok, wait_for

CLIP = material("videos/opendatacam_street.mp4")
CONFIG = """
http: {port: 0}
data: DATA
model: MODEL
decode: {workers: 1, device: cuda:63}
cameras:
  cam:
    ffmpeg: {inputs: [{path: "CLIP"}]}
    detect: {fps: 5}
"""

os.environ["SIGHTLINE_CUDA_PLUGIN"] = ""
place = folder()
server = Server(CONFIG.replace("DATA", os.path.join(place, "data")).replace("CLIP", CLIP)
                .replace("MODEL", material("models/FastestDet.onnx")))


def camera():
    return server.get("/api/v1/cameras")["cameras"][0]


ok(wait_for(lambda: camera()["frames"]["decoded"] > 5, 20), "the camera plays")
seen = camera()
equal(seen["decoder"], "process", "in a sandboxed process")
ok("SIGHTLINE_CUDA_PLUGIN" in seen["decoder_note"], f"told: {seen['decoder_note']}")
metrics = server.request("/metrics")[2].decode()
ok('sightline_decode_on_card{camera="cam"} 0\n' in metrics, "and measured")
ok('sightline_device_frame_copies_total{reason="motion"} 0\n' in metrics, "as are copies out of a card's memory")
ok("CUDA device 63 does not decode" in server.log(), "and it is in the log")
equal(server.stop(), 0, "the server stops")
done()
