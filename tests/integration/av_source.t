#!/usr/bin/python3
"""RTMP and SRT cameras (ffmpeg serves them), with sound, which is passed over: pictures, a server that ends, one that is not there, and what is refused."""
import os
import re
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import tap  # noqa: E402

CLIENT = os.path.join(tap.BUILD, "tests", "source_rtsp_test")


def ok(passed, what, note=""):
    if not tap.ok(passed, what):
        tap.diag(note)


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def serve(*target):
    return subprocess.Popen(["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25",
                             "-f", "lavfi", "-i", "sine", "-c:a", "aac", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt",
                             "yuv420p", "-t", "20", *target], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def play(url, pictures=25, seconds=15, password=""):
    return subprocess.run([CLIENT, "play", url, "", password, str(pictures), str(seconds)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60).stdout


def play_when_there(url, **wishes):
    """The server needs a moment; a camera would be tried again, too."""
    end = time.monotonic() + 10 * tap.SLOW
    while True:
        text = play(url, **wishes)
        if "ended unreachable" not in text or time.monotonic() > end:
            return text


def figure(text, name):
    found = re.search(r"\b%s (-?[0-9.]+)" % name, text)
    return float(found.group(1)) if found else -1


def check_pictures(what, text):
    ok(figure(text, "packets") == 25 and figure(text, "frames") >= 24 and "size 320x240" in text and
       "stream h264 " in text and "loop closed 0" in text, "%s: 25 pictures are decoded" % what, text)


def main():
    if not os.path.exists(CLIENT):
        tap.skip_all("no %s" % CLIENT)
    port = free_port(socket.SOCK_STREAM)
    with serve("-f", "flv", "-listen", "1", "rtmp://127.0.0.1:%d/live/one" % port) as server:
        check_pictures("RTMP", play_when_there("rtmp://127.0.0.1:%d/live/one" % port))
        server.kill()
    text = play("rtmp://127.0.0.1:%d/live/one" % port)
    ok("ended unreachable: cannot connect" in text and "loop closed 0" in text, "nobody there: an error", text)

    protocols = subprocess.run(["ffmpeg", "-v", "error", "-protocols"], stdout=subprocess.PIPE, text=True).stdout
    if re.search(r"^\s*srt$", protocols, re.M):
        port = free_port(socket.SOCK_DGRAM)
        secret = "c4n4ry-long-enough"
        with serve("-f", "mpegts", "srt://127.0.0.1:%d?mode=listener&passphrase=%s" % (port, secret)) as server:
            text = play_when_there("srt://127.0.0.1:%d" % port, password=secret)
            check_pictures("SRT with a passphrase", text)
            ok("c4n4ry" not in text, "which is not shown", text)
            server.kill()
        for options in ("?mode=listener", "?streamid=a&mode=listener", "?passphrase=x"):
            text = play("srt://127.0.0.1:%d%s" % (port, options))
            ok("ended refused" in text and "loop closed 0" in text, "srt://...%s is refused" % options, text)
    else:
        ok(True, "SRT # SKIP ffmpeg has none")
    for url in ("rtmp://169.254.169.254/live/one", "srt://169.254.169.254:9000"):
        text = play(url)
        ok("ended refused" in text and "metadata" in text, "%s is refused" % url, text)

    mute = socket.socket()
    mute.bind(("127.0.0.1", 0))
    mute.listen()
    started = time.monotonic()
    text = play("rtmp://127.0.0.1:%d/live/one" % mute.getsockname()[1], seconds=30)
    took = time.monotonic() - started
    ok("ended unreachable: the camera does not answer" in text and took < 7 * tap.SLOW,
       "a server that says nothing: given up after %.1f s" % took, text)
    started = time.monotonic()
    text = play("rtmp://127.0.0.1:%d/live/one" % mute.getsockname()[1], seconds=1)
    took = time.monotonic() - started
    ok("time is over" in text and "loop closed 0" in text and took < 2.5 * tap.SLOW,
       "closed while it waits: over after %.1f s" % took, text)
    tap.done()


main()
