#!/usr/bin/python3
"""A video that comes through the API as a camera: received piece by piece, looked at, played, counted, kept over a
restart, removed; and what is refused leaves nothing behind."""
import json
import os
import signal
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap

TOKEN = "a-token-of-the-test"
CONFIG = "http: {port: 0, token: %s}\ndata: data\nuploads: {file_mib: 32, total_mib: 40}\n%s"
MODEL = os.path.abspath(os.path.join(tap.MATERIAL, "models", "FastestDet.onnx"))
VIDEO = tap.footage()
PIECE = 1 << 20

with open(VIDEO, "rb") as file:
    WHOLE = file.read()
server = tap.Server(CONFIG % (TOKEN, f"model: {MODEL}\n" if os.path.exists(MODEL) else ""), token=TOKEN)


def post(path, body):
    status, _, answer = server.request(path, "POST", body)
    return status, json.loads(answer)


def begin(size):
    return post("/api/v1/jobs", json.dumps({"do": "upload", "bytes": size}).encode())


def send(job, at, piece):
    """Waits while the disk is not done with what came before."""
    return tap.wait_for(lambda: (lambda answer: answer if answer[0] != 503 else None)(
        post(f"/api/v1/jobs/data?id={job['id']}&at={at}", piece)), 20)


def ended(job):
    def look():
        now = server.get(f"/api/v1/jobs?id={job['id']}")
        return now if now["state"] != "running" else None
    return tap.wait_for(look, 30)


def upload(content):
    job = begin(len(content))[1]
    for at in range(0, len(content), PIECE):
        send(job, at, content[at:at + PIECE])
    return ended(job)


def run(what):
    status, job = post("/api/v1/jobs", json.dumps(what).encode())
    return ended(job) if status == 202 else {"state": "refused", "error": job["message"]}


def set_camera(name, address, **more):
    camera = {"ffmpeg": {"inputs": [{"path": address}]}, "lines": {"across": {"coordinates": "0.5,0,0.5,1"}}}
    return run({"do": "set_camera", "name": name, "camera": dict(camera, **more)})


def files():
    folder = os.path.join(server.path, "data", "uploads")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def camera(name):
    return next((c for c in server.get("/api/v1/cameras")["cameras"] if c["name"] == name), {"state": "none"})


# ---- received, with progress ----
status, job = begin(len(WHOLE))
tap.equal((status, job["result"]["received"], job["result"]["bytes"]), (202, 0, len(WHOLE)), "an upload begins")
status, answer = send(job, 0, WHOLE[:PIECE])
tap.equal((status, answer["result"]["received"], answer["state"]), (200, PIECE, "running"), "a piece is taken")
tap.ok(tap.wait_for(lambda: abs(server.get(f"/api/v1/jobs?id={job['id']}")["progress"] - PIECE / len(WHOLE)) < 0.001, 5),
       "its progress is told")
status, answer = send(job, 0, WHOLE[:PIECE])
tap.ok(status == 400 and str(PIECE) in answer["message"], f"the same again is not: {answer['message']}")
tap.equal(send(job, PIECE, WHOLE + b"x")[0], 413, "no more than a request may have")
tap.equal(send(job, PIECE, b"")[0], 413, "nor nothing")
tap.ok(len(files()) == 1 and files()[0].endswith(".part"), f"it lies apart: {files()}")
for at in range(PIECE, len(WHOLE), PIECE):
    status, answer = send(job, at, WHOLE[at:at + PIECE])
done = ended(job)
tap.equal((done["state"], done["progress"], done["error"]), ("done", 1, None), "the whole video is there")
result = done["result"]
tap.equal((result["step"], result["width"], result["height"], result["received"]), ("ready", 768, 576, len(WHOLE)), "and known")
tap.ok(result["duration_s"] > 70 and result["address"].startswith("upload:"), f"{result['codec']}, {result['duration_s']} s")
status, headers, picture = server.request(f"/api/v1/jobs/picture?id={job['id']}")
tap.ok(status == 200 and picture[:3] == b"\xff\xd8\xff", "with its first picture")
tap.equal(send(job, len(WHOLE), b"x")[0], 400, "it takes no more")

# ---- a camera that plays it, and counts ----
address = result["address"]
tap.equal(set_camera("film", address)["state"], "done", "a camera is made of it")
tap.ok(tap.wait_for(lambda: camera("film")["state"] == "streaming", 15), "it plays")
tap.equal(camera("film")["source"], address, "its address says nothing of the disk")
stored = os.path.join(server.path, "data", "uploads", address[len("upload:"):] + ".video")
with open(stored, "rb") as file:
    tap.ok(file.read() == WHOLE, "the file holds what was sent")
tap.equal((stat.S_IMODE(os.stat(stored).st_mode), stat.S_IMODE(os.stat(os.path.dirname(stored)).st_mode)), (0o600, 0o700),
          "for the server alone")
tap.ok(tap.wait_for(lambda: camera("film")["progress"] > 0, 15), "where it is in the file is told")
if os.path.exists(MODEL):
    tap.ok(tap.wait_for(server.events, 60), "people are counted")

# ---- whose it is ----
tap.equal(set_camera("film", address, detect={"fps": 2})["state"], "done", "the camera can be changed")
job = set_camera("thief", address)
tap.ok(job["state"] == "failed" and "not there" in job["error"], f"no other camera gets it: {job['error']}")
for wrong in ("upload:0123456789abcdef", "upload:../../../../etc/passwd", "upload:", "upload:0123456789ABCDEF", stored):
    job = set_camera("thief", wrong)
    tap.ok(job["state"] in ("failed", "refused"), f"nor one that is not there: {wrong[:40]}: {job['error']}")

# ---- refused, and nothing is left of it ----
before = files()
job = upload(b"this is not a video, whatever its name says\n" * 100)
tap.ok(job["state"] == "failed" and "cannot be used" in job["error"] and "uploads/" not in job["error"], f"no video: {job['error']}")
job = upload(WHOLE[:2000])
tap.ok(job["state"] == "failed" and "cannot be used" in job["error"], f"a stump of one: {job['error']}")
tap.ok(tap.wait_for(lambda: files() == before, 10), "both are gone from the disk")
status, answer = begin((32 << 20) + 1)
tap.ok(status == 413 and "32 MiB" in answer["message"], f"too large: {answer['message']}")
for body in (0, -5, "9", None):
    tap.equal(begin(body)[0], 400, f"{body} bytes are no video")
many = [begin(16 << 20)[1] for _ in range(3)]
tap.ok(tap.wait_for(lambda: any("all videos together" in (server.get(f"/api/v1/jobs?id={j['id']}")["error"] or "") for j in many), 10),
       "all of them have a bound, those on their way with them")
status, answer = begin(1000)
for job in many + [answer]:
    server.request(f"/api/v1/jobs?id={job['id']}", "DELETE")
tap.equal(ended(answer)["state"], "failed", "a client ends its upload")
tap.ok(tap.wait_for(lambda: files() == before, 10), "nothing is left of it")
tap.equal(send(answer, 0, b"x")[0], 404, "and it takes no more")
server.token = None
tap.equal((begin(1000)[0], server.request("/api/v1/jobs/data?id=1&at=0", "POST", b"x")[0],
           server.request("/api/v1/jobs?id=1", "DELETE")[0]), (401, 401, 401), "nothing without the token")
server.token = TOKEN

# ---- an end in the middle ----
job = begin(len(WHOLE))[1]
send(job, 0, WHOLE[:PIECE])
tap.ok(tap.wait_for(lambda: len(files()) == 2, 10), "one is on its way")
tap.equal(server.stop(), 0, "the server stops")
tap.equal(files(), before, "what was on its way is gone")
server.start()
tap.ok(tap.wait_for(lambda: camera("film")["state"] == "streaming", 15), "the camera plays after a restart")
job = begin(len(WHOLE))[1]
send(job, 0, WHOLE[:PIECE])
tap.ok(tap.wait_for(lambda: len(files()) == 2, 10), "another one is on its way")
server.process.send_signal(signal.SIGKILL)
server.process.wait()
server.start()
tap.ok(tap.wait_for(lambda: files() == before, 10), "after an end without warning it is swept away")
tap.ok(tap.wait_for(lambda: camera("film")["state"] == "streaming", 15), "and the camera plays")

# ---- once, and interrupted ----
whole = upload(WHOLE)
PICTURE = {"picture": {"coordinates": "0,0,1,0,1,1,0,1"}}
tap.equal(set_camera("broken", whole["result"]["address"], loop=False, zones=PICTURE)["state"], "done", "one that is played once")
tap.ok(tap.wait_for(lambda: any(f.endswith(".begun") for f in files()), 20), "that it began is kept")
if os.path.exists(MODEL):
    def entered():
        return [e["track"] for e in server.events() if (e["camera"], e["kind"]) == ("broken", "zone_entry")]
    tap.ok(tap.wait_for(lambda: len(entered()) >= 3, 30), "people are in its picture")
    tap.equal(run({"do": "set_camera", "name": "other", "camera": {"ffmpeg": {"inputs": [{"path": "rtsp://127.0.0.1:9/"}]}}})["state"],
              "done", "the configuration is read again")
    analysed = camera("broken")["frames"]["analysed"]
    tap.ok(tap.wait_for(lambda: camera("other")["state"] != "none" and camera("broken")["frames"]["analysed"] > analysed + 20, 30),
           "and it goes on")
    tap.equal(len(set(entered())), len(entered()), "with who was there: nobody enters again")
    run({"do": "remove_camera", "name": "other"})
again = "broken: the video was interrupted before its end: it is played again from its beginning"
tap.ok(again not in server.log(), "at first nothing is said")
server.process.send_signal(signal.SIGKILL)
server.process.wait()
server.start()
tap.ok(tap.wait_for(lambda: camera("broken")["state"] == "streaming", 15), "an end in the middle: it plays again")
tap.ok(again in server.log(), "and the log says that it counts again what it had counted")
tap.ok(camera("broken")["progress"] < 0.9, "from its beginning")
tap.equal(run({"do": "remove_camera", "name": "broken"})["state"], "done", "it is removed")
tap.ok(tap.wait_for(lambda: not any(f.endswith(".begun") for f in files()), 10), "and the note with it")

# ---- once ----
short = upload(WHOLE[:400000])
tap.equal(short["state"], "done", f"a short one: {short['error']}")
tap.equal(set_camera("once", short["result"]["address"], loop=False)["state"], "done", "to be played once")
tap.ok(tap.wait_for(lambda: camera("once")["state"] == "ended", 30), "it comes to its end")
tap.ok(tap.wait_for(lambda: any(f.endswith(".played") for f in files()), 10), "which is kept")
tap.equal(server.stop(), 0, "the server stops")
server.start()
tap.ok(tap.wait_for(lambda: camera("once")["state"] == "ended", 15), "after a restart it has still ended")
tap.equal(camera("once")["frames"]["decoded"], 0, "and nothing is counted twice")

# ---- removed ----
for name in ("film", "once"):
    tap.equal(run({"do": "remove_camera", "name": name})["state"], "done", f"{name} is removed")
tap.ok(tap.wait_for(lambda: not files(), 10), "and its video with it")
tap.equal(server.stop(), 0, "the server stops in the end")
tap.done()
