#!/usr/bin/python3
"""Canaries: a password or token of every kind of camera, right and wrong, in every way to write it down, through every way to
fail; then looked for, as it is, percent-encoded and in base64, in the log at each level, every answer of the API, the metrics,
what jobs say, the errors of a configuration that is refused, the arguments of the processes, and every file but the one that the
user wrote."""
import base64
import json
import os
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from onvif_camera import Camera
from rtsp import RtspServer
from websocket import WebSocket

HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = "c4n4ry-token-0123456789abcdef"
RIGHT = "c4n4ry:r@ght w#rd/?"
WRONG = "c4n4ry-wr@ng:w/rd"
SOURCE_TOKEN = "c4n4ryinquery"
PASSPHRASE = "c4n4ry-passphrase"  # of RTMP and SRT
RAW = "c4n4ry#r@w?"  # what an address may hold without being encoded
USER = "installer"


def forms(secret):
    """A secret as it might be written by somebody who means no harm."""
    words = {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret),
             json.dumps(secret)[1:-1]}
    for text in (secret, f"{USER}:{secret}", f":{secret}"):
        words |= {base64.b64encode(text.encode()).decode().rstrip("="), base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
                  text.encode().hex()}
    return words


ALL = set().union(*(forms(secret) for secret in (TOKEN, RIGHT, WRONG, SOURCE_TOKEN, PASSPHRASE, RAW))) | {"c4n4ry"}


def found_in(text):
    return sorted(word for word in ALL if word in text)


def clean(text, what):
    hits = found_in(text)
    if not tap.ok(not hits, what):
        for line in text.splitlines():
            if found_in(line):
                tap.diag(line[:300])


def quoted(secret):
    return urllib.parse.quote(secret, safe="")


rtsp = {auth: RtspServer(None, "--user", USER, "--password", RIGHT, "--auth", auth, "--width", "320", "--height", "240", "--fps", "5")
        for auth in ("digest", "basic")}
gone = tap.free_port()
folder = tap.folder()
subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-frames:v", "5", "-pix_fmt", "yuvj420p",
                os.path.join(folder, "picture%d.jpg")], check=True)
web = subprocess.Popen([sys.executable, os.path.join(HERE, "http_camera.py"), "--folder", folder, "--auth", "digest", "--password", RIGHT,
                        "--redirect", f"http://{USER}:{quoted(WRONG)}@127.0.0.1:PORT/nothing?token={SOURCE_TOKEN}"],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
web_port = int(web.stdout.readline().split()[1])
SOURCES = {}
for word, secret in (("right", RIGHT), ("wrong", WRONG)):
    user = f"{USER}:{quoted(secret)}"
    for auth, server in rtsp.items():
        SOURCES[f"{auth}-{word}"] = f"rtsp://{user}@127.0.0.1:{server.port}/live?token={SOURCE_TOKEN}"
    SOURCES[f"tls-{word}"] = f"rtsps://{user}@127.0.0.1:{rtsp['digest'].port}/live"
    SOURCES[f"raw-{word}"] = f"rtsp://{USER}:{RAW}@127.0.0.1:{rtsp['digest'].port}/live"
    SOURCES[f"none-{word}"] = f"rtsp://{user}@127.0.0.1:{gone}/live"
    SOURCES[f"nowhere-{word}"] = f"rtsp://{user}@no-such-camera.invalid/live"
    user = f"camera:{quoted(secret)}"  # the one that http_camera.py knows
    SOURCES[f"http-{word}"] = f"http://{user}@127.0.0.1:{web_port}/mjpeg?password={SOURCE_TOKEN}"
    SOURCES[f"jpeg-{word}"] = f"http://{user}@127.0.0.1:{web_port}/jpeg"
    SOURCES[f"hls-{word}"] = f"http://{user}@127.0.0.1:{web_port}/nothing.m3u8?token={SOURCE_TOKEN}"
    SOURCES[f"redirect-{word}"] = f"http://{user}@127.0.0.1:{web_port}/redirect"
SOURCES["rtmp-wrong"] = f"rtmp://{USER}:{PASSPHRASE}@127.0.0.1:{gone}/live/one?token={SOURCE_TOKEN}"
SOURCES["rtmp-odd"] = f"rtmp://{USER}:{quoted(WRONG)}@127.0.0.1:{gone}/live/one"
SOURCES["srt-wrong"] = f"srt://{USER}:{PASSPHRASE}@127.0.0.1:{gone}?streamid=x"
CAMERAS = "".join(f"  {name}: {{ffmpeg: {{inputs: [{{path: {json.dumps(path)}}}]}}, detect: {{fps: 1}}}}\n" for name, path in SOURCES.items())
CAMERAS += f"""  apart:
    user: {USER}
    password: {json.dumps(RIGHT)}
    ffmpeg: {{inputs: [{{path: "rtsp://127.0.0.1:{rtsp['digest'].port}/live", roles: [detect]}}, {{path: "rtsp://{USER}:{quoted(WRONG)}@127.0.0.1:{rtsp['basic'].port}/live", roles: [view]}}]}}
"""
CONFIG = f"http: {{port: 0, token: {TOKEN}}}\ndata: data\nlog: {{level: debug}}\ncameras:\n"
server = tap.Server(CONFIG + CAMERAS, token=TOKEN)


def states():
    return {one["name"]: one for one in server.get("/api/v1/cameras")["cameras"]}


GOOD = {"digest-right", "basic-right", "http-right", "jpeg-right", "apart"}
was = {"streaming": set(), "backoff": set()}


def is_settled():
    for name, one in states().items():
        if one["state"] in was:
            was[one["state"]].add(name)
    return was["streaming"] == GOOD and was["backoff"] >= set(SOURCES) - GOOD


tap.ok(tap.wait_for(is_settled, 40), "five of the cameras play, the others have failed in all their ways")
for name, one in states().items():
    tap.diag(f"{name}: {one['state']}: {one['reason']}")


def run(what):
    job = json.loads(server.request("/api/v1/jobs", "POST", json.dumps(what).encode())[2])
    if "id" not in job:
        return json.dumps(job)
    ended = lambda: [one for one in [server.request(f"/api/v1/jobs?id={job['id']}")[2].decode()] if '"running"' not in one]
    return (tap.wait_for(ended, 40) or ["hangs"])[0]


said = []
onvif = Camera(rtsp["digest"].port, [("sub", "Sub", "H264", 320, 240, 5, "/live")], USER, RIGHT)
service = f"http://127.0.0.1:{onvif.http_port}/onvif/device_service"
for secret in (RIGHT, WRONG):
    said.append(run({"do": "streams", "service": service, "user": USER, "password": secret}))
    said.append(run({"do": "streams", "service": service.replace("//", f"//{USER}:{quoted(secret)}@")}))
    said.append(run({"do": "streams", "service": f"http://{USER}:{quoted(secret)}@169.254.169.254/{quoted(secret)}"}))
    for path in (SOURCES["digest-right"], f"rtsp://127.0.0.1:{rtsp['basic'].port}/live", f"rtsp://127.0.0.1:{gone}/", f"http://127.0.0.1:{web_port}/nothing",
                 f"srt://127.0.0.1:{gone}", f"/{secret}", f"exec:{secret}", f"rtsp://{USER}:{secret}@", f"rtmp://127.0.0.1:{gone}/{SOURCE_TOKEN}"):
        said.append(run({"do": "probe", "address": path, "user": USER, "password": secret}))
    said.append(run({"do": "set_camera", "name": f"raw-{len(secret)}", "camera": {"ffmpeg": {"inputs": [
        {"path": f"rtsp://{USER}:{RAW}@127.0.0.1:{rtsp['digest'].port}/live"}]}}}))
    said.append(run({"do": "set_camera", "name": "x", "camera": {"ffmpeg": {"inputs": [{"path": f"rtsp://{USER}:{secret}@127.0.0.1/"}]}}}))
    said.append(run({"do": "set_camera", "name": f"kept-{len(secret)}", "camera": {"user": USER, "password": secret, "ffmpeg": {"inputs": [
        {"path": f"rtsp://127.0.0.1:{rtsp['digest'].port}/live"}]}}}))
    said.append(run({"do": "set_camera", "name": "x", "camera": {"user": USER, "password": secret, "ffmpeg": {"inputs": [{"path": f"file:{secret}"}]}}}))
    said.append(run({"do": "change_camera", "name": "digest-right", "camera": {"password": secret, "wibble": secret}}))
    said.append(run({"do": "set_camera", "name": "x", "camera": {"password": [secret]}}))
    said.append(run({"do": secret}))
onvif.close()
tap.ok(sum("\"done\"" in one for one in said) >= 6, "jobs with the right password end well, others do not")
clean("\n".join(said), "no job says it")
tap.ok(tap.wait_for(lambda: states().get(f"kept-{len(RIGHT)}", {}).get("state") == "streaming", 20), "a camera that the API added plays")

# ---- every answer, with the token and without ----
answers = []
for path in ("/api/v1/cameras", "/api/v1/ready", "/api/v1/version", "/api/v1/counts", "/api/v1/session", "/api/v1/events", "/metrics", "/",
             "/api/v1/cameras/http-wrong/snapshot", "/api/v1/cameras/nobody/snapshot", "/api/v1/jobs?id=1", "/api/v1/history?camera=apart&counter=x"):
    for token in (TOKEN, None):
        server.token = token
        status, headers, body = server.request(path)
        answers.append(f"{status} {headers} " + body.decode("utf-8", "replace"))
server.token = TOKEN
clean("\n".join(answers), "no answer and no metric shows it")
socket = WebSocket(server.port, headers=[f"Authorization: Bearer {TOKEN}"])
socket.send({"type": "subscribe", "topics": ["health", "counts"] + [f"video/{name}" for name in ("http-wrong", "apart")], "stream": "main"})
told = [json.dumps(message) for message in (socket.receive(2) for _ in range(6)) if not isinstance(message, bytes)]
tap.ok(len(told) >= 3, "the WebSocket tells of health")
clean("\n".join(told), "and does not show it")

# ---- processes and files ----
arguments = []
for pid in os.listdir("/proc"):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            mine = pid == str(server.process.pid) or file.read().rsplit(")", 1)[1].split()[1] == str(server.process.pid)
        for kind in ("cmdline", "comm") if mine else ():
            with open(f"/proc/{pid}/{kind}", encoding="utf-8", errors="replace") as file:
                arguments.append(file.read().replace("\0", " "))
    except (OSError, IndexError):
        pass
tap.ok(len(arguments) >= 4, "the server and its decoders are looked at")
clean("\n".join(arguments), "no process has it among its arguments")
tap.equal(server.stop(), 0, "the server stops")
clean(server.log(), f"the log at its most talkative, {len(server.log().splitlines())} lines, does not have it")
for place, _, names in os.walk(os.path.join(server.path, "data")):
    for name in names:
        with open(os.path.join(place, name), "rb") as file:
            clean(file.read().decode("latin-1"), f"nor has data/{os.path.relpath(os.path.join(place, name), os.path.join(server.path, 'data'))}")
for level in ("info", "warning", "error"):
    server.write(CONFIG.replace("level: debug", f"level: {level}") + CAMERAS)
    before = len(server.log())
    server.start()
    tap.wait_for(lambda: states().get("rtmp-wrong", {}).get("state") == "backoff", 20)
    server.stop()
    clean(server.log()[before:], f"nor at {level}")

# ---- a configuration that is refused ----
path = os.path.join(folder, "bad.yml")
errors = []
for bad in (f'cameras: {{a: {{ffmpeg: {{inputs: [{{path: "ftp://{USER}:{quoted(RIGHT)}@cam/"}}]}}}}}}', f'cameras: {{a: {{ffmpeg: {{inputs: [{{path: "rtsp://{USER}:{WRONG}"}}]}}}}}}',
            f'cameras: {{a: {{ffmpeg: {{inputs: [{{path: "rtsp://{USER}:{quoted(RIGHT)}@cam:99999/"}}]}}}}}}', f'cameras: {{a: {{password: ["{RIGHT}"]}}}}',
            f'cameras: {{a: {{password: {{b: "{RIGHT}"}}}}}}', f'cameras: {{a: {{password: "{RIGHT * 20}"}}}}', f"http: {{token: [{TOKEN}]}}",
            'http: {token: "c4n4ry"}', f'cameras: {{a: {{password: "sealed:{base64.b64encode(RIGHT.encode()).decode()}", ffmpeg: {{inputs: [{{path: "rtsp://cam/"}}]}}}}}}',
            f'cameras: {{a: {{password: "{RIGHT}\n', f'cameras: {{a: {{user: {USER}, password: "{{C4N_MISSING}}", ffmpeg: {{inputs: [{{path: "rtsp://{USER}:{quoted(WRONG)}@a b/"}}]}}}}}}'):
    with open(path, "w", encoding="utf-8") as file:
        file.write(bad)
    for arguments in (["config", "check", path], ["serve", "-c", path]):
        if errors and errors[-1].startswith("taken"):
            break
        result = subprocess.run([os.path.abspath(tap.PROGRAM), *arguments], capture_output=True, text=True, check=False, timeout=60, cwd=folder)
        tap.ok(result.returncode != 0, f"{arguments[0]}: refused")
        tap.diag(result.stderr.strip()[:200] if not found_in(result.stderr) else "it shows a secret")
        errors.append(("taken " if result.returncode == 0 else "") + result.stdout + result.stderr)
clean("\n".join(errors), "its errors do not show it")
web.kill()
web.wait()
tap.done()
