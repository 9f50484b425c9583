#!/usr/bin/python3
"""Cameras through the API: found, tried, added, changed, kept over a restart, removed; and what is refused."""
import json
import os
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from onvif_camera import Camera
from rtsp import RtspServer

PASSWORD = "canary-p@ss:w/rd"
USER = "installer"


def begin(server, what):
    status, _, body = server.request("/api/v1/jobs", "POST", json.dumps(what).encode())
    return status, json.loads(body)


def run(server, what, seconds=30):
    """The job when it has ended; None when it was refused."""
    status, job = begin(server, what)
    if status != 202:
        return {"state": "refused", "error": job["message"], "status": status}

    def ended():
        job_now = server.get(f"/api/v1/jobs?id={job['id']}")
        return job_now if job_now["state"] != "running" else None
    return tap.wait_for(ended, seconds) or {"state": "hangs"}


def camera_states(server):
    return {camera["name"]: camera["state"] for camera in server.get("/api/v1/cameras")["cameras"]}


signed = RtspServer(None, "--user", USER, "--password", PASSWORD, "--auth", "digest", "--width", "320", "--height", "240")
server = tap.Server("http: {port: 0}\ndata: data\ncameras: {fixed: {enabled: false, ffmpeg: {inputs: "
                    "[{path: rtsp://127.0.0.1:9/}]}}}\n", token=None)
address = f"rtsp://127.0.0.1:{signed.port}/live"

# ---- found ----
onvif = Camera(signed.port, [])
begun = begin(server, {"do": "discover", "at": f"127.0.0.1:{onvif.udp_port}"})[1]["id"]
seen = []
tap.wait_for(lambda: seen.append(server.get(f"/api/v1/jobs?id={begun}")) or seen[-1]["state"] != "running", 30)
tap.ok(len({one["progress"] for one in seen if 0 < one["progress"] < 1}) > 5 and any(one["result"] and one["result"]["devices"] for one in seen[:-1]),
       "while it looks its progress grows, and what was found is shown")
job = seen[-1]
tap.equal((job["state"], [device["name"] for device in job["result"]["devices"]]), ("done", ["North gate"]), "found")
tap.equal(job["progress"], 1, "its progress is whole")
onvif.close()

# ---- more than are kept ----
crowd = Camera(signed.port, [], answers=300)
job = run(server, {"do": "discover", "at": f"127.0.0.1:{crowd.udp_port}"})
tap.equal((len(job["result"]["devices"]), job["result"]["more"] > 0), (256, True), "of many only so many are kept, and it says so")
crowd.close()

# ---- its streams, whichever way it signs people in, and with a clock that is wrong ----
STREAMS = [("main", "Main", "H264", 1920, 1080, 25, "/main"), ("sub", "Sub", "H264", 640, 360, 10, "/live")]
for words, settings in [("a token in the message", {"clock_ahead_s": -86400 * 900}), ("HTTP digest", {"http_digest": True})]:
    onvif = Camera(signed.port, STREAMS, USER, PASSWORD, snapshot=b"\xff\xd8\xff", **settings)
    service = f"http://127.0.0.1:{onvif.http_port}/onvif/device_service"
    job = run(server, {"do": "streams", "service": service, "user": USER, "password": PASSWORD})
    result = job.get("result") or {"streams": []}
    tap.equal(job["state"], "done", f"streams by {words}: {job.get('error')}")
    tap.equal([(s["address"], s["width"], s["role"]) for s in result["streams"]],
              [(f"rtsp://127.0.0.1:{signed.port}/main", 1920, "view"), (f"rtsp://127.0.0.1:{signed.port}/live", 640, "detect")],
              "at the host that was asked, with their roles")
    tap.equal((result.get("model"), result.get("snapshot")), ("Sim-1", f"http://127.0.0.1:{onvif.http_port}/snapshot.jpg"),
              "model and snapshot")
    job = run(server, {"do": "streams", "service": service, "user": USER, "password": "wrong"})
    tap.ok(job["state"] == "failed" and "refuses" in job["error"], f"wrong password: {job['error']}")
    onvif.close()
job = run(server, {"do": "streams", "service": service})
tap.ok(job["state"] == "failed" and "cannot connect" in job["error"], f"nobody there: {job['error']}")
job = run(server, {"do": "streams", "service": "http://169.254.169.254/latest/"})
tap.ok(job["state"] in ("failed", "refused") and "169.254" not in server.log(), f"not everywhere: {job['error']}")
tap.equal(run(server, {"do": "streams", "service": "file:///etc/passwd"})["state"], "refused", "HTTP alone")

# ---- tried ----
job = run(server, {"do": "probe", "address": address, "user": USER, "password": PASSWORD})
tap.equal(job["state"], "done", f"a good address: {job.get('error')}")
tap.equal((job["result"] or {}).get("codec"), "h264", "its codec")
tap.equal(((job["result"] or {}).get("width"), (job["result"] or {}).get("height")), (320, 240), "its size")
tap.ok(abs((job["result"] or {}).get("fps", 0) - 25) < 1, "its rate")
status, headers, picture = server.request(f"/api/v1/jobs/picture?id={job['id']}")
tap.ok(status == 200 and headers["Content-Type"] == "image/jpeg" and picture[:3] == b"\xff\xd8\xff", "its first picture")
job = run(server, {"do": "probe", "address": address, "user": USER, "password": "wrong"})
tap.ok(job["state"] == "failed" and "refuses the user name or the password" in job["error"] and "next try" not in job["error"], f"a wrong password is told: {job['error']}")
tap.equal(server.request(f"/api/v1/jobs/picture?id={job['id']}")[0], 404, "there is no picture of it")
job = run(server, {"do": "probe", "address": f"rtsp://127.0.0.1:{tap.free_port()}/"})
tap.ok(job["state"] == "failed" and "refused" in job["error"], f"nobody there is told: {job['error']}")
tap.equal(run(server, {"do": "probe", "address": "/etc/passwd"})["state"], "refused", "a file is no address")
tap.equal(run(server, {"do": "probe", "address": "file:///etc/passwd"})["state"], "refused", "nor is file://")

# ---- added ----
camera = {"ffmpeg": {"inputs": [{"path": address}]}, "user": USER, "password": PASSWORD,
          "lines": {"in": {"coordinates": "0.1,0.5,0.9,0.5"}}}
job = run(server, {"do": "set_camera", "name": "gate", "camera": camera})
tap.equal(job["state"], "done", f"added: {job.get('error')}")
tap.ok(tap.wait_for(lambda: camera_states(server).get("gate") == "streaming", 15), "it plays")
kept = os.path.join(server.path, "data", "cameras.yml")
with open(kept, encoding="utf-8") as file:
    text = file.read()
tap.ok("sealed:" in text and "canary" not in text, "its password is sealed in the file")
tap.equal(stat.S_IMODE(os.stat(kept).st_mode), 0o600, "the file is its owner's alone")

# ---- changed, without saying the password again ----
changed = {"ffmpeg": {"inputs": [{"path": address}]}, "user": USER, "detect": {"fps": 2},
           "lines": {"out": {"coordinates": "0.2,0.5,0.8,0.5"}}}
tap.equal(run(server, {"do": "set_camera", "name": "gate", "camera": changed})["state"], "done", "changed")
tap.ok(tap.wait_for(lambda: [line["name"] for c in server.get("/api/v1/cameras")["cameras"] if c["name"] == "gate"
                             for line in c["lines"]] == ["out"], 15), "with its new line")
tap.ok(tap.wait_for(lambda: camera_states(server).get("gate") == "streaming", 15), "it still signs in")

# ---- a part of it changed, and the rest left ----
door = {"lines": {"door": {"coordinates": "0.2,0.4,0.5,0.5,0.8,0.4", "directions": {"a_to_b": "in", "b_to_a": "out"}}},
        "zones": {"queue": {"coordinates": "0.1,0.1,0.4,0.1,0.4,0.4"}}}
job = run(server, {"do": "change_camera", "name": "gate", "camera": door})
tap.equal(job["state"], "done", f"lines and zones alone: {job.get('error')}")
gate = lambda: next(c for c in server.get("/api/v1/cameras")["cameras"] if c["name"] == "gate")
tap.ok(tap.wait_for(lambda: [line["name"] for line in gate()["lines"] + gate()["zones"]] == ["door", "queue"], 15), "are there")
tap.equal((gate()["fps"]["wanted"], gate()["managed"]), (2, True), "how fast it is analysed stays")
tap.ok(tap.wait_for(lambda: gate()["state"] == "streaming", 15), "and so does its password")
run(server, {"do": "change_camera", "name": "gate", "camera": {"user": USER, "password": "wrong"}})
tap.ok(tap.wait_for(lambda: gate()["state"] == "backoff", 15), "a wrong password is a state")
tap.ok("refuses" in gate()["reason"], f"with its reason: {gate()['reason']}")
run(server, {"do": "change_camera", "name": "gate", "camera": {"user": USER, "password": PASSWORD}})
tap.ok(tap.wait_for(lambda: gate()["state"] == "streaming", 15), "that is mended by the right one alone")
run(server, {"do": "change_camera", "name": "gate", "camera": {"user": "another"}})
tap.ok(tap.wait_for(lambda: gate()["state"] == "backoff", 15), "another user is not given its password")
run(server, {"do": "change_camera", "name": "gate", "camera": {"user": USER, "password": PASSWORD}})
for name, change, told in (("gate", {"lines": {"l": {"coordinates": "0,0,2,0"}}}, "within 0 and 1"), ("gate", {"wibble": 1}, "wibble"),
                           ("fixed", {"lines": {}}, "stands in"), ("nobody", {"lines": {}}, "no camera named nobody")):
    job = run(server, {"do": "change_camera", "name": name, "camera": change})
    tap.ok(job["state"] in ("refused", "failed") and told in job["error"], f"refused: {job['error']}")

# ---- changed by two who do not know of each other ----
ALL = ["person", "bicycle", "car", "motorcycle", "bus", "truck"]
tap.ok(tap.wait_for(lambda: gate()["frames"]["decoded"] > 10, 15), "it has decoded pictures")
seen = gate()
tap.equal((seen["classes"], len(seen["version"])), (ALL, 32), "what it counts, and what version that is")
job = run(server, {"do": "change_camera", "name": "gate", "camera": {"objects": {"track": ["car", "bus"]}}, "version": seen["version"]})
tap.equal(job["state"], "done", f"the first one changes its classes: {job.get('error')}")
tap.ok(tap.wait_for(lambda: gate()["classes"] == ["car", "bus"], 15) and gate()["lines"] == seen["lines"], "and nothing else")
tap.ok(gate()["frames"]["decoded"] >= seen["frames"]["decoded"], "its stream goes on")
tap.ok(gate()["version"] != seen["version"], "it is another version")
job = run(server, {"do": "change_camera", "name": "gate", "camera": {"lines": {}}, "version": seen["version"]})
tap.equal((job["state"], job.get("status")), ("refused", 409), f"the second one is refused: {job.get('error')}")
tap.ok('"gate" was changed meanwhile' in job["error"] and gate()["lines"] == seen["lines"], "in words, and nothing is changed")
job = run(server, {"do": "change_camera", "name": "gate", "camera": {"objects": {"track": ALL}}, "version": gate()["version"]})
tap.ok(job["state"] == "done" and tap.wait_for(lambda: gate()["version"] == seen["version"], 15), "the same settings are the same version")
run(server, {"do": "change_camera", "name": "gate", "camera": {"user": USER, "password": PASSWORD}})
tap.equal(gate()["version"], seen["version"], "a password is none of it")
tap.equal(run(server, {"do": "change_camera", "name": "gate", "camera": {"lines": {}}, "version": 7})["status"], 400, "a version is a text")

with open(kept, encoding="utf-8") as file:
    sealed = "sealed:" + file.read().split("sealed:")[1].split('"')[0]
for change in ({"ffmpeg": {"inputs": [{"path": f"rtsp://localhost:{signed.port}/live"}]}, "user": USER, "password": sealed},
               {"ffmpeg": {"inputs": [{"path": f"rtsp://localhost:{signed.port}/live", "user": USER, "password": sealed}]}}):
    job = run(server, {"do": "change_camera", "name": "gate", "camera": change})
    tap.ok(job["state"] == "refused" and "sealed" in job["error"], f"a copy of the file is told to nobody: {job}")

# ---- kept ----
tap.equal(server.stop(), 0, "the server stops")
server.start()
tap.ok(tap.wait_for(lambda: camera_states(server).get("gate") == "streaming", 15), "it plays after a restart")

# ---- another host gets no password ----
other = dict(changed, ffmpeg={"inputs": [{"path": f"rtsp://localhost:{signed.port}/live"}]})
run(server, {"do": "set_camera", "name": "gate", "camera": other})
tap.ok(tap.wait_for(lambda: camera_states(server).get("gate") == "backoff", 15), "a changed host is not told the password")

# ---- refused ----
for what, told in [
        ({"do": "set_camera", "name": "fixed", "camera": changed}, "stands in"),
        ({"do": "remove_camera", "name": "nobody"}, "no camera named nobody"),
        ({"do": "set_camera", "name": "a/b", "camera": changed}, "must not hold"),
        ({"do": "set_camera", "name": "x", "camera": {"ffmpeg": {"inputs": [{"path": "/etc/passwd"}]}}}, "address"),
        ({"do": "set_camera", "name": "x", "camera": {"wibble": 1}}, "wibble"),
        ({"do": "set_camera", "name": "x", "camera": dict(camera, lines={"l": {"coordinates": "0,0,2,0"}})}, "within 0 and 1"),
        ({"do": "set_camera", "name": "x"}, "set_camera takes"),
        ({"do": "dance"}, "a job is"),
        ([], "a job is")]:
    job = run(server, what)
    tap.ok(job["state"] in ("refused", "failed") and told in job["error"], f"{json.dumps(what)[:60]}: {job['error']}")
tap.equal(server.request("/api/v1/jobs?id=999")[0], 404, "a job that never was")

# ---- removed ----
tap.equal(run(server, {"do": "remove_camera", "name": "gate"})["state"], "done", "removed")
tap.ok(tap.wait_for(lambda: "gate" not in camera_states(server), 15), "it is gone")

# ---- the policy of addresses holds for what is only tried, too ----
strict = tap.Server("http: {port: 0}\ndata: data\ncameras_allowed: [public]\n")
for what in ({"do": "probe", "address": address}, {"do": "streams", "service": service}):
    job = run(strict, what)
    tap.ok(job["state"] == "failed" and "allowed" in job["error"], f"{what['do']} within cameras_allowed: {job['error']}")
strict.write("http: {port: 0}\ndata: data\ncameras_allowed: [public, loopback]\n")
tap.ok(tap.wait_for(lambda: "is read again" in strict.log(), 15), "another cameras_allowed is read")
for what, told in (({"do": "probe", "address": address, "user": USER, "password": PASSWORD}, None),
                   ({"do": "streams", "service": service}, "cannot connect")):
    job = run(strict, what)
    tap.ok(job["error"] is None if told is None else told in job["error"], f"{what['do']} goes by it at once: {job['error']}")
tap.equal(strict.stop(), 0, "that server stops")

# ---- no secret anywhere ----
said = server.log() + server.out() + server.request("/metrics")[2].decode() + json.dumps(server.get("/api/v1/cameras"))
tap.ok("canary" not in said, "the password is in no log, metric or answer")
tap.equal(server.stop(), 0, "the server stops in the end")
tap.done()
