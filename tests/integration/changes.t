#!/usr/bin/python3
"""A camera whose picture size, frame rate and codec change in mid-stream, and a file that does so: counting goes on."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from rtsp import RtspServer

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = tap.material("models/FastestDet.onnx")
VIDEO = tap.footage()
LINES = {"across": "0.5,0,0.5,1", "deep": "0,0.5,1,0.5"}
PIECE_S = 8
GROUP = 10
H264 = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", str(GROUP)]
H265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=none:keyint={GROUP}:bframes=0"]
here = tap.folder()


def make(name, number, size, coder, *more):
    """One piece of the footage, with the times that it has in the whole."""
    path = os.path.join(here, name)
    subprocess.run(["ffmpeg", "-v", "error", "-ss", str(number * PIECE_S), "-i", VIDEO, "-t", str(PIECE_S), "-vf", f"scale={size}",
                    *more, *coder, "-pix_fmt", "yuv420p", "-output_ts_offset", str(number * PIECE_S), "-f", "mpegts", path],
                   check=True, stdin=subprocess.DEVNULL)
    return path


def join(name, *pieces):
    path = os.path.join(here, name)
    with open(path, "wb") as whole:
        for piece in pieces:
            with open(piece, "rb") as part:
                whole.write(part.read())
    return path


def count(path):
    lines = [word for name, points in LINES.items() for word in ("--line", f"{name}:{points}")]
    result = subprocess.run([tap.PROGRAM, "count", path, "--model", MODEL, "--json", *lines], capture_output=True, text=True,
                            check=False)
    # Where one codec follows on the other a packet may be lost: then it is said that not all was counted (3).
    if result.returncode not in (0, 3):
        tap.diag(result.stderr)
        return None
    return json.loads(result.stdout)


small = make("small.ts", 0, "320:240", H264)
large = make("large.ts", 1, "640:360", H264)
other = make("other.ts", 1, "640:360", H265, "-r", "5")

# ---- a file whose pictures change their size ----
apart = [count(small), count(large)]
whole = count(join("sizes.ts", small, large))


def crossings(result):
    return sum(line["total"]["a_to_b"] + line["total"]["b_to_a"] for line in result["lines"])


tap.equal(whole["frames"], sum(part["frames"] for part in apart), "every picture of a file that changes its size is seen")
tap.ok(all(crossings(part) >= 5 for part in apart) and abs(crossings(whole) - sum(map(crossings, apart))) <= 1,
       f"and as much is counted as in its parts: {crossings(whole)} of {[crossings(part) for part in apart]}")
apart = [count(small), count(other), count(small)]
whole = count(join("codecs.ts", small, other, small))
# FFmpeg's parser of the one codec finds the other's pictures late: a group of them may be lost on the way.
frames = sum(part["frames"] for part in apart)
tap.ok(frames - GROUP <= whole["frames"] <= frames, f"a file that changes its codec and back: {whole['frames']} of {frames} pictures")
tap.ok(crossings(apart[1]) > 0 and abs(crossings(whole) - sum(map(crossings, apart))) <= 3,
       f"and as much is counted as in its parts: {crossings(whole)} of {[crossings(part) for part in apart]}")

# ---- cameras: HLS from one piece to the next, RTSP in one session, RTSP after a restart of the camera ----
with open(os.path.join(here, "live.m3u8"), "w", encoding="utf-8") as playlist:
    playlist.write(f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{PIECE_S}\n#EXTINF:{PIECE_S},\nsmall.ts\n" +
                   f"#EXT-X-DISCONTINUITY\n#EXTINF:{PIECE_S},\nother.ts\n" * 20 + "#EXT-X-ENDLIST\n")
hls = subprocess.Popen([sys.executable, os.path.join(HERE, "http_camera.py"), "--folder", here], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
hls_port = int(hls.stdout.readline().split()[1])
resized = RtspServer(None, "--footage", VIDEO, "--then-size", "640x360", "--then-s", str(PIECE_S))
restarted = RtspServer(None, "--footage", VIDEO)
CAMERAS = {"hls": f"http://127.0.0.1:{hls_port}/live.m3u8", "resized": resized.url, "restarted": restarted.url}
server = tap.Server(f"http: {{port: 0}}\ndata: data\nmodel: {MODEL}\ncameras:\n" + "".join(
    f"  {name}:\n    ffmpeg: {{inputs: [{{path: '{url}'}}]}}\n    detect: {{fps: 10}}\n    lines: {{" +
    ", ".join(f"{line}: {{coordinates: '{points}'}}" for line, points in LINES.items()) + "}\n" for name, url in CAMERAS.items()))


def camera(name):
    return next(c for c in server.get("/api/v1/cameras")["cameras"] if c["name"] == name)


def shows(name, codec, width, height):
    now = camera(name)
    return (now["state"], now["codec"], now["width"], now["height"]) == ("streaming", codec, width, height)


def counted(name):
    return sum(event["camera"] == name for event in server.events())


def goes_on(name, codec, width, height, what, reconnects):
    tap.ok(tap.wait_for(lambda: shows(name, codec, width, height), 30), f"{name}: {what}: {codec} {width}x{height}")
    before = counted(name)
    tap.ok(tap.wait_for(lambda: counted(name) > before, 20), f"{name}: is counted ({before} before)")
    now = camera(name)
    tap.equal((now["reconnects"], now["codec"]), (reconnects, codec), f"{name}: with {reconnects} reconnects, and still {codec}")


for name in CAMERAS:
    goes_on(name, "h264", 320, 240, "first", 0)
port = restarted.port
restarted.stop()
restarted.arguments = ["--seconds", "3600", "--footage", VIDEO, "--codec", "h265", "--width", "640", "--height", "360"]
restarted.start(port)
goes_on("hls", "hevc", 640, 360, "then, from one piece to the next, at half the rate", 0)
goes_on("resized", "h264", 640, 360, "then, in the same session", 0)
goes_on("restarted", "hevc", 640, 360, "then, after the camera began again", 1)
tap.equal(server.stop(), 0, "the server stops")
hls.stdin.close()
hls.wait(10)
tap.done()
