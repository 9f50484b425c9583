#!/usr/bin/python3
"""A changed configuration: cameras that it leaves alone go on, a bad file is refused whole."""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Server, diag, done, equal, footage, folder, ok, wait_for

VIDEO = footage()


def config(cameras, extra=""):
    text = f"http: {{port: 0}}\ndata: data\n{extra}cameras:\n"
    for name, line in cameras.items():
        text += (f"  {name}:\n    ffmpeg: {{inputs: [{{path: {VIDEO}}}]}}\n    detect: {{fps: 2}}\n"
                 f"    lines: {{l: {{coordinates: '{line}'}}}}\n")
    return text


def camera(name):
    found = [c for c in server.get("/api/v1/cameras")["cameras"] if c["name"] == name]
    return found[0] if found else None


def decoded(name):
    return (camera(name) or {"frames": {"decoded": 0}})["frames"]["decoded"]


server = Server(config({"a": "0.1,0.5,0.9,0.5", "b": "0.1,0.5,0.9,0.5"}))
ok(wait_for(lambda: decoded("a") > 5 and decoded("b") > 5, 10), "two cameras play")
before = decoded("a")

server.write(config({"a": "0.1,0.5,0.9,0.5", "c": "0.1,0.5,0.9,0.5"}))
ok(wait_for(lambda: camera("c") and not camera("b"), 10), "one camera went, one came")
ok(decoded("a") >= before and camera("a")["reconnects"] == 0, "the one that stayed was not touched")

before = decoded("a")
server.write(config({"a": "0.2,0.1,0.2,0.9", "c": "0.1,0.5,0.9,0.5"}))
ok(wait_for(lambda: camera("a")["lines"][0]["coordinates"][0][0] == 0.2, 10), "a line was moved")
ok(decoded("a") >= before, "without the stream beginning again")

server.write(config({"a": "0.2,0.1,0.2,0.9"}).replace("fps: 2", "fps: many") + "wibble: 1\n")
ok(wait_for(lambda: any(p["what"] == "configuration" for p in server.get("/api/v1/ready")["problems"]), 10),
   "a bad file is a problem that health shows")
problem = [p["text"] for p in server.get("/api/v1/ready")["problems"] if p["what"] == "configuration"][0]
ok("sightline.yml:" in problem and "2 problems" in problem, problem)
ok(camera("a") and camera("c"), "what ran goes on")
ok("wibble" in server.log() and "is not a number" in server.log(), "every problem is in the log")

server.write(config({"a": "0.2,0.1,0.2,0.9"}, "log: {level: debug}\n"))
ok(wait_for(lambda: not camera("c"), 10), "a good file is taken again")
equal([p for p in server.get("/api/v1/ready")["problems"] if p["what"] == "configuration"], [], "and the problem is gone")

server.write(config({"a": "0.2,0.1,0.2,0.9"}, "redis: {url: 'redis://127.0.0.1:1'}\n"))
ok(wait_for(lambda: any("next start" in p["text"] for p in server.get("/api/v1/ready")["problems"]), 10),
   "a setting that needs a restart says so")

os.unlink(server.config)
server.process.send_signal(signal.SIGHUP)
ok(wait_for(lambda: any("cannot be opened" in p["text"] for p in server.get("/api/v1/ready")["problems"]), 10),
   "a file that is gone is a problem, not the end")
ok(camera("a"), "and the camera goes on")
equal(server.stop(), 0, "stops cleanly")
done()
