#!/usr/bin/python3
"""The RTSP source against real servers: GStreamer's, with every codec and sign-in, killed and started again; and a
camera that lies.
"""
import os
import re
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import tap  # noqa: E402

CLIENT = os.path.join(tap.BUILD, "tests", "source_rtsp_test")
SESSIONS = int(os.environ.get("SIGHTLINE_HOSTILE_SESSIONS", "300"))
PASSWORD = "p@ss:w#rd/canary"


def ok(passed, what, note=""):
    if not tap.ok(passed, what):
        tap.diag(note)


class Camera:
    """A server process; ends when its standard input closes."""

    def __init__(self, script, *arguments):
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, script), *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.split()[1]) if line.startswith("port ") else 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def url(self, credentials=""):
        return "rtsp://%s127.0.0.1:%d/live" % (credentials, self.port)

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        return self.process.stdout.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def start(*arguments):
    return subprocess.Popen([CLIENT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def play(url, user="", password="", pictures=25, seconds=20):
    return start("play", url, user, password, str(pictures), str(seconds)).communicate()[0]


def figure(text, name):
    found = re.search(r"\b%s (-?[0-9.]+)" % name, text)
    return float(found.group(1)) if found else -1


def check_pictures(what, text, pictures=25, codec=None, held=0):
    ok(figure(text, "packets") >= pictures and figure(text, "frames") >= pictures - held and
       figure(text, "errors") == 0 and "size 320x240" in text and "begins without a key" not in text and
       (codec is None or "stream %s " % codec in text), "%s: %d pictures are decoded" % (what, pictures), text)
    ok(figure(text, "first_ms") < 3000 and figure(text, "lost") == 0 and figure(text, "corrupt") == 0 and
       figure(text, "lag_ms") < 2000 and "loop closed 0" in text, "%s: soon, none lost, nothing left" % what, text)
    rate = figure(text, "pts") / max(figure(text, "span_ms"), 1) / 90
    ok(0.7 < rate < 1.4, "%s: the time stamps follow the clock (%.2f)" % (what, rate), text)


def check_codecs():
    cases = [("H.264", ["--codec", "h264"], "h264", 0),
             ("H.264 in slices", ["--codec", "h264-slices"], "h264", 0),
             ("H.264 with B pictures", ["--codec", "h264-bframes"], "h264", 3),
             ("H.265 and sound", ["--codec", "h265", "--audio"], "hevc", 0),
             ("MJPEG", ["--codec", "mjpeg"], "mjpeg", 0)]
    for what, arguments, codec, held in cases:
        with Camera("rtsp_server.py", *arguments) as camera:
            text = play(camera.url())
            check_pictures(what, text, codec=codec, held=held)
            log = camera.stop()
            ok("teardown" in log, "%s: the server got a TEARDOWN" % what, log)
    with Camera("rtsp_server.py", "--codec", "vp8") as camera:
        text = play(camera.url())
        ok("sends VP8: set it to H.264" in text, "another codec is refused by its name", text)


def check_sign_in():
    for method in ("digest", "basic"):
        with Camera("rtsp_server.py", "--auth", method, "--password", PASSWORD) as camera:
            text = play(camera.url(), "camera", PASSWORD)
            check_pictures("%s sign-in" % method, text)
            coded = PASSWORD.replace("/", "%2F")
            text += play(camera.url("camera:%s@" % coded), pictures=2)
            ok(text.count("packets 25") == 1 and text.count("packets 2 ") == 1,
               "%s: user and password may stand in the address" % method, text)
            wrong = play(camera.url(), "camera", "wrong" + PASSWORD)
            ok("ended refused: the camera refuses the user name or the password" in wrong,
               "%s: a wrong password is refused" % method, wrong)
            none = play(camera.url())
            ok("ended refused: the camera asks for a user name and a password" in none,
               "%s: none is asked for" % method, none)
            ok("canary" not in text + wrong + none, "%s: no password is shown" % method)
    with Camera("rtsp_server.py") as camera:
        text = play("rtsp://127.0.0.1:%d/nothing" % camera.port)
        ok("ended error: the camera has no such stream" in text, "a wrong path says so", text)


def check_session():
    with Camera("rtsp_server.py", "--session-timeout", "4") as camera:
        text = play(camera.url(), pictures=225)
        ok(figure(text, "packets") == 225, "a session of 4 s is kept alive for 9", text)
        ok("get-parameter" in camera.stop(), "by GET_PARAMETER")


def check_restart():
    first = Camera("rtsp_server.py")
    client = start("play", first.url(), "", "", "0", "20")
    text = ""
    while "stream" not in text:
        line = client.stdout.readline()
        if not line:
            break
        text += line
    first.kill()
    text += client.communicate()[0]
    ok("ended closed: the camera closed the connection" in text, "a killed server: the stream ends", text)
    ok(0 <= figure(text, "span_ms") < 5000, "at once", text)
    gone = play(first.url())
    ok("ended error: cannot connect to the camera" in gone, "while it is away: an error", gone)
    with Camera("rtsp_server.py", "--port", str(first.port)) as second:
        ok(second.port == first.port, "it comes back at the same port")
        check_pictures("after the restart", play(second.url()))


def check_hostile():
    for seed in (1, 2):
        with Camera("rtsp_hostile.py", "--seed", str(seed)) as camera:
            client = start("crowd", camera.url(), str(SESSIONS // 2))
            text = client.communicate()[0]
            ok(client.returncode == 0, "camera that lies, seed %d: %d sessions, no crash" % (seed, SESSIONS // 2),
               "status %d: %s" % (client.returncode, text))
            ok(figure(text, "late") == 0 and figure(text, "open") == 0 and figure(text, "loop") == 0,
               "no event after the end, nothing left", text)
            ok(0 < figure(text, "longest_ms") < 2000, "none longer than its time limits", text)
            ok(figure(text, "pictures") > 50 and figure(text, "error") > 10, "some played, some did not", text)
            tap.diag(text)


def main():
    if not os.path.exists(CLIENT):
        tap.skip_all("no %s" % CLIENT)
    check_hostile()
    if subprocess.run([sys.executable, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
                      stderr=subprocess.DEVNULL).returncode == 0:
        check_codecs()
        check_sign_in()
        check_session()
        check_restart()
    else:
        ok(True, "real servers # SKIP GStreamer's RTSP server is not installed")
    tap.done()


main()
