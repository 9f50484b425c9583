#!/usr/bin/python3
"""Cameras that speak HTTP: MJPEG in several dialects, single pictures, HLS as MPEG-TS and fragmented MP4, sign-in, TLS,
redirects, and what they get wrong.
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import tap  # noqa: E402

CLIENT = os.path.join(tap.BUILD, "tests", "source_rtsp_test")
CROWD = os.path.join(tap.BUILD, "tests", "camera_crowd_test")
PASSWORD = "p@ss:w#rd/canary"
OTHER_CODECS = {"hevc": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"],
                "av1": ["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8"]}


def ok(passed, what, note=""):
    if not tap.ok(passed, what):
        tap.diag(note)


def start(folder, *arguments):
    camera = subprocess.Popen([sys.executable, os.path.join(HERE, "http_camera.py"), "--folder", folder, *arguments],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return camera, int(camera.stdout.readline().split()[1])


def play(folder, path, *arguments, user="", password="", pictures=25, seconds=15, scheme="http", **settings):
    camera, port = start(folder, *arguments)
    environment = dict(os.environ, **{"RTSP_" + name.upper(): value for name, value in settings.items()})
    text = subprocess.run([CLIENT, "play", "%s://127.0.0.1:%d%s" % (scheme, port, path), user, password, str(pictures),
                           str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                          env=environment).stdout
    camera.stdin.close()
    log = camera.stdout.read()
    camera.wait()
    return text, log


def figure(text, name):
    found = re.search(r"\b%s (-?[0-9.]+)" % name, text)
    return float(found.group(1)) if found else -1


def check_pictures(what, text, codec, pictures=25, held=0):
    ok(figure(text, "packets") >= pictures and figure(text, "frames") >= pictures - held and
       figure(text, "errors") == 0 and "size 320x240" in text and "stream %s " % codec in text and
       "loop closed 0" in text, "%s: %d pictures are decoded" % (what, pictures), text)
    rate = figure(text, "pts") / max(figure(text, "span_ms"), 1) / 90
    ok(0.6 < rate < 1.6 and figure(text, "backwards") == 0, "%s: in their own time (%.2f)" % (what, rate), text)


def make_footage(folder):
    source = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-frames:v", "10", "-pix_fmt", "yuvj420p",
                    os.path.join(folder, "picture%d.jpg")], check=True)
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x480:rate=25", "-frames:v", "1",
                    "-pix_fmt", "yuvj420p", "-update", "1", os.path.join(folder, "large.jpg")], check=True)
    for kind, name in (("mpegts", "ts"), ("fmp4", "mp4")):  # with sound, which is passed over
        subprocess.run(["ffmpeg", "-v", "error", *source, "-f", "lavfi", "-i", "sine", "-c:a", "aac", "-t", "6", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2",
                        "-g", "25", "-pix_fmt", "yuv420p", "-f", "hls", "-hls_time", "2", "-hls_list_size", "0",
                        "-hls_segment_type", kind, "-hls_fmp4_init_filename", "init.mp4",
                        os.path.join(folder, name + ".m3u8")], check=True)
    for name, codec in OTHER_CODECS.items():
        subprocess.run(["ffmpeg", "-v", "error", *source, "-t", "4", *codec, "-g", "25", "-pix_fmt", "yuv420p", "-f", "hls", "-hls_time", "2",
                        "-hls_list_size", "0", "-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", name + ".init.mp4",
                        os.path.join(folder, name + ".m3u8")], check=True)
    lines = open(os.path.join(folder, "ts.m3u8")).read()
    with open(os.path.join(folder, "live.m3u8"), "w") as file:
        file.write(lines.replace("#EXT-X-ENDLIST", ""))
    with open(os.path.join(folder, "master.m3u8"), "w") as file:
        file.write("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=64x48\nnothing.m3u8\n"
                   "#EXT-X-STREAM-INF:BANDWIDTH=9000,RESOLUTION=640x480\nts.m3u8\n")
    with open(os.path.join(folder, "evil.m3u8"), "w") as file:
        file.write("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    with open(os.path.join(folder, "metadata.m3u8"), "w") as file:
        file.write("#EXTM3U\n#EXTINF:1,\nhttp://169.254.169.254/latest\n")
    with open(os.path.join(folder, "concat.m3u8"), "w") as file:
        file.write("#EXTM3U\n#EXTINF:1,\nconcat.ts\n")
    with open(os.path.join(folder, "concat.ts"), "w") as file:
        file.write("ffconcat version 1.0\nfile /etc/passwd\n")


def check_mjpeg(folder):
    for path, what in (("/mjpeg", "MJPEG"), ("/mjpeg-chunked", "MJPEG, chunked, without lengths"),
                       ("/mjpeg-lies", "MJPEG with another boundary than it says")):
        text, _ = play(folder, path)
        check_pictures(what, text, "mjpeg")
    text, log = play(folder, "/jpeg", pictures=10)
    check_pictures("single pictures at the rate of the analysis", text, "mjpeg", pictures=10)
    ok(1500 < figure(text, "span_ms") < 2600, "10 of them take %d ms" % figure(text, "span_ms"), text)


def check_change(folder):
    """Through the whole camera: state machine, decoder, log at every level."""
    camera, port = start(folder, "--auth", "digest", "--password", "c4n4ry:canary")
    text = subprocess.run([CROWD, "watch", "8", "0", "camera:c4n4ry:canary@@http://127.0.0.1:%d/mjpeg-sizes" % port],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                          env=dict(os.environ, CROWD_LOG="1")).stdout
    camera.stdin.close()
    camera.wait()
    ok("streaming mjpeg 320x240" in text and "streaming mjpeg 640x480" in text and " reconnects 0 " in text,
       "another picture size in the middle of the stream: it goes on", text)
    ok("c4n4ry" not in text, "the password is in no line of the log", text)


def check_hls(folder):
    for path, what, count in (("/ts.m3u8", "HLS with MPEG-TS", 100), ("/mp4.m3u8", "HLS with fragmented MP4", 100),
                              ("/master.m3u8", "HLS by its list of streams", 60),
                              ("/live.m3u8", "HLS from near its end", 60)):
        text, log = play(folder, path, pictures=count)
        ok(figure(text, "packets") >= count and figure(text, "frames") >= count - 4 and figure(text, "errors") == 0 and
           "size 320x240" in text and "loop closed 0" in text, "%s: %d pictures are decoded" % (what, count), text)
        ok(figure(text, "span_ms") > count * 40 * 0.8, "%s: in their own time (%d ms)" % (what, figure(text, "span_ms")),
           text)
    for name in OTHER_CODECS:
        text, log = play(folder, "/%s.m3u8" % name, pictures=60)
        ok("stream %s " % name in text and figure(text, "packets") >= 60 and figure(text, "frames") >= 50 and figure(text, "errors") == 0,
           "HLS with %s" % name, text)
    text, _ = play(folder, "/ts.m3u8", pictures=0)
    ok("ended closed: the stream is over" in text and figure(text, "packets") == 150, "its end is its end", text)
    for path, reason in (("/evil.m3u8", "redirects to an address that is none"), ("/metadata.m3u8", "metadata"),
                         ("/concat.m3u8", "damaged")):
        text, _ = play(folder, path)
        ok("ended" in text and reason in text and "packets 0 " in text, "%s: refused" % path, text)


def check_sign_in(folder):
    for auth in ("basic", "digest"):
        sign = ["--auth", auth, "--password", PASSWORD]
        text, _ = play(folder, "/mjpeg", *sign, user="camera", password=PASSWORD)
        ok(figure(text, "packets") == 25, "%s sign-in" % auth, text)
        wrong, _ = play(folder, "/mjpeg", *sign, user="camera", password="wrong" + PASSWORD)
        ok("ended refused: the camera refuses the user name or the password (401)" in wrong, "a wrong password", wrong)
        none, _ = play(folder, "/mjpeg", *sign)
        ok("ended refused: the camera asks for a user name" in none, "none", none)
        ok("canary" not in text + wrong + none, "no password is shown")


def check_tls(folder):
    both = os.path.join(folder, "both")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=camera",
                    "-keyout", both + ".key", "-out", both], check=True, stderr=subprocess.DEVNULL)
    pin = subprocess.run(["openssl", "x509", "-in", both, "-noout", "-fingerprint", "-sha256"], stdout=subprocess.PIPE,
                         text=True, check=True).stdout.split("=")[1].strip().replace(":", "").lower()
    with open(both, "a") as file:
        file.write(open(both + ".key").read())
    text, _ = play(folder, "/mjpeg", "--tls", both, scheme="https")
    ok("ended refused: the camera's certificate is not trusted" in text, "https: an unknown certificate is refused", text)
    for what, settings in (("its fingerprint", {"fingerprint": pin}), ("no look at it", {"unverified": "1"})):
        text, _ = play(folder, "/mjpeg", "--tls", both, scheme="https", **settings)
        ok(figure(text, "packets") == 25, "https with %s" % what, text)
    text, _ = play(folder, "/mjpeg", "--tls", both, scheme="https", fingerprint="0" * 64)
    ok("ended refused" in text and "packets 0 " in text, "https with another fingerprint", text)


def check_wrong(folder):
    for path, arguments, reason in [
            ("/html", [], "ended refused: the camera sends text/html"),
            ("/nothing", [], "has nothing at this path (404)"),
            ("/mjpeg-stops", [], "ended closed: the camera ended the stream"),
            ("/mjpeg-endless", [], "a picture of the camera has more than 8 MiB"),
            ("/redirect", ["--redirect", "http://127.0.0.1:PORT/redirect"], "redirects more than 3 times"),
            ("/redirect", ["--redirect", "http://169.254.169.254/"], "metadata"),
            ("/redirect", ["--redirect", "file:///etc/passwd"], "ended refused"),
            ("/redirect", ["--redirect", "rtsp://127.0.0.1/"], "another protocol")]:
        text, _ = play(folder, path, *arguments, pictures=50)
        ok(reason in text and "loop closed 0" in text, "%s %s: %s" % (path, " ".join(arguments), reason), text)
    text, log = play(folder, "/redirect", "--redirect", "/mjpeg")
    ok(figure(text, "packets") == 25 and "GET /mjpeg" in log, "a redirect is followed", text)


def main():
    if not os.path.exists(CLIENT):
        tap.skip_all("no %s" % CLIENT)
    with tempfile.TemporaryDirectory() as folder:
        make_footage(folder)
        check_mjpeg(folder)
        check_change(folder)
        check_hls(folder)
        check_sign_in(folder)
        check_tls(folder)
        check_wrong(folder)
    tap.done()


main()
