#!/usr/bin/python3
"""The RTSP source against real servers: GStreamer's, with every codec and sign-in, killed and started again; and a
camera that lies.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import tap  # noqa: E402

CLIENT = os.path.join(tap.BUILD, "tests", "source_rtsp_test")
CROWD = os.path.join(tap.BUILD, "tests", "camera_crowd_test")
SESSIONS = int(os.environ.get("SIGHTLINE_HOSTILE_SESSIONS", "300"))
PASSWORD = "p@ss:w#rd/canary"


def ok(passed, what, note=""):
    if not tap.ok(passed, what):
        tap.diag(note)


class Camera:
    """A server process. It ends when its standard input closes."""

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


def start(*arguments, **settings):
    environment = dict(os.environ, **{"RTSP_" + name.upper(): value for name, value in settings.items()})
    return subprocess.Popen([CLIENT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=environment)


def play(url, user="", password="", pictures=25, seconds=20, **settings):
    return start("play", url, user, password, str(pictures), str(seconds), **settings).communicate()[0]


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
    ok("ended unreachable: cannot connect to the camera" in gone, "while it is away: an error", gone)
    with Camera("rtsp_server.py", "--port", str(first.port)) as second:
        ok(second.port == first.port, "it comes back at the same port")
        check_pictures("after the restart", play(second.url()))


def check_pace():
    """A camera that takes every connection and ends it: it is not overrun, neither by attempts nor by knocks."""
    came = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)

        def accept():
            while True:
                try:
                    one = listener.accept()[0]
                except OSError:
                    return
                came.append(time.monotonic())
                one.close()
        threading.Thread(target=accept, daemon=True).start()
        subprocess.run([CROWD, "watch", "9", "0", "rtsp://127.0.0.1:%d/x" % listener.getsockname()[1]], stdout=subprocess.DEVNULL, check=False,
                       timeout=60)
    most = max((sum(1 for at in came if since <= at < since + 1) for since in came), default=0)
    ok(3 <= len(came) <= 12 and most <= 3, "%d connections in 9 s, at most %d in 1 s" % (len(came), most), str(came))


def check_udp():
    for what, server, wish, used in [("a camera that has UDP alone", "udp", "auto", "udp"),
                                     ("UDP where it is wished", "both", "udp", "udp"),
                                     ("UDP wished of a camera without", "tcp", "udp", "tcp")]:
        with Camera("rtsp_server.py", "--transport", server) as camera:
            text = play(camera.url(), transport=wish)
            check_pictures(what, text)
            ok("transport %s " % used in text, "%s: over %s" % (what, used), text)
    with Camera("rtsp_server.py", "--transport", "udp") as camera:
        text = play(camera.url(), transport="tcp")
        ok("ended refused: the camera does not send RTP the way that transport asks for" in text,
           "TCP alone, of a camera without: refused", text)


def check_tls(folder):
    files = [os.path.join(folder, name) for name in ("key", "certificate", "both")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=camera",
                    "-keyout", files[0], "-out", files[1]], check=True, stderr=subprocess.DEVNULL)
    with open(files[2], "w") as both:
        both.write(open(files[1]).read() + open(files[0]).read())
    with Camera("rtsp_server.py", "--tls", files[2], "--auth", "digest", "--password", PASSWORD) as camera:
        url = camera.url().replace("rtsp:", "rtsps:")
        text = play(url, "camera", PASSWORD)
        found = re.search("tls_fingerprint: ([0-9a-f]{64})", text)
        ok("ended refused: the camera's certificate is not trusted" in text and found,
           "RTSPS: an unknown certificate is refused, with its fingerprint", text)
        pin = found.group(1) if found else ""
        check_pictures("RTSPS with its fingerprint", play(url, "camera", PASSWORD, fingerprint=pin))
        check_pictures("RTSPS without a look at it", play(url, "camera", PASSWORD, pictures=25, unverified="1"))
        text = play(url, "camera", PASSWORD, fingerprint="0" * 64)
        ok("ended refused: the camera's certificate has another fingerprint" in text, "another one is refused", text)
        text = play(camera.url(), "camera", PASSWORD)
        ok("ended" in text and "packets 0 " in text, "RTSP to a port of RTSPS: an error", text)
    with Camera("rtsp_server.py") as camera:
        text = play(camera.url().replace("rtsp:", "rtsps:"))
        ok("ended error: the camera does not speak TLS" in text or "ended closed" in text or "ended timeout" in text,
           "RTSPS to a port of RTSP: an error", text)


def fake(*arguments, pictures=100, user="", password="", **settings):
    with Camera("rtsp_fake.py", *arguments) as camera:
        text = play(camera.url(), user, password, pictures=pictures, seconds=8, no_decode="1", **settings)
        return text, camera.stop()


def check_fake():
    text, log = fake("--auth", "sha256", "--password", PASSWORD, user="camera", password=PASSWORD)
    ok(figure(text, "packets") == 100 and "DESCRIBE signed" in log, "SHA-256 is taken where MD5 is offered, too", text)
    text, log = fake("--auth", "sha256", "--password", PASSWORD, user="camera", password="wrong")
    ok("ended refused: the camera refuses the user name" in text and "canary" not in text, "a wrong one is refused", text)

    text, log = fake("--refuse", "tcp", "--lose", "20", "--double", "10", "--swap", "20", "--pictures", "1000",
                     pictures=780)
    ok(figure(text, "packets") == 780 and figure(text, "backwards") == 0,
       "UDP with 20 % lost, 10 % doubled, 20 % swapped: every packet that came is used", text)
    lost = figure(text, "lost") / 1000
    ok(0.1 < lost < 0.3 and figure(text, "duplicates") > 20 and figure(text, "reordered") > 50 and
       figure(text, "late") < 10, "the counters say so (%.0f %% lost)" % (lost * 100), text)

    text, log = fake("--silent-udp", transport="udp")
    ok(figure(text, "packets") == 100 and "transport tcp" in text and 2500 < figure(text, "first_ms") < 4500,
       "no UDP packet comes: over TCP after %d ms" % figure(text, "first_ms"), text)
    text, log = fake("--silent-udp", "--refuse", "tcp")
    ok("ended timeout: the camera sends over UDP alone, and no packet arrives" in text, "neither way: said so", text)

    with Camera("rtsp_fake.py") as target:
        text, log = fake("--redirect", "rtsp://u:v@127.0.0.1:%d/live" % target.port, user="camera", password=PASSWORD)
        ok(figure(text, "packets") == 100 and "DESCRIBE" in target.stop(), "a redirect is followed", text)
    text, log = fake("--redirect", "rtsp://127.0.0.1:PORT/again")
    ok("ended refused: the camera redirects more than 3 times" in text and log.count("DESCRIBE") == 4,
       "four are too many", text + log)
    for target in ("rtsp://169.254.169.254/latest", "http://127.0.0.1/", "file:///etc/passwd", "rtsp://2130706433/"):
        text, log = fake("--redirect", target)
        ok("ended refused" in text and "169.254" not in text, "a redirect to %s is refused" % target, text)


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
    check_fake()
    check_pace()
    if subprocess.run([sys.executable, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
                      stderr=subprocess.DEVNULL).returncode == 0:
        check_codecs()
        check_sign_in()
        check_udp()
        with tempfile.TemporaryDirectory() as folder:
            check_tls(folder)
        check_session()
        check_restart()
    else:
        ok(True, "real servers # SKIP GStreamer's RTSP server is not installed")
    tap.done()


main()
