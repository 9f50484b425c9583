#!/usr/bin/python3
"""Cameras on a network that fails, with a figure for each fault: cut and restored, a reboot, another picture size, a wrong
password, 20 % of UDP packets lost, 2 Mbit/s for a stream of 4.

The camera is GStreamer's RTSP server in a network namespace of its own behind a veth pair; needs root. Beside the one whose
packets are lost, or that has too narrow a way, another plays on loopback: it must not notice. The cut lasts 8 s;
SIGHTLINE_CUT_S=30 makes it longer; SIGHTLINE_FAULTS="loss narrow" plays these faults alone.
"""
import os
import queue
import random
import re
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
INTEGRATION = os.path.join(os.path.dirname(HERE), "integration")
sys.path.insert(0, INTEGRATION)
import tap  # noqa: E402

CLIENT = os.path.join(tap.BUILD, "tests", "camera_crowd_test")
CUT_S = float(os.environ.get("SIGHTLINE_CUT_S", "8"))
SPACE = "sightline-%d" % os.getpid()
NET = "198.18.%d." % random.randrange(256)
BLOCK = 4 * random.randrange(60)
OURS, CAMERA = NET + str(BLOCK + 1), NET + str(BLOCK + 2)
LINK = "sl%d" % os.getpid()


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def in_space(*arguments, check=True):
    return ip("netns", "exec", SPACE, *arguments, check=check)


def build_network():
    """False: not permitted here."""
    if os.geteuid() != 0 or ip("netns", "add", SPACE, check=False).returncode != 0:
        return False
    if ip("link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", SPACE, check=False).returncode != 0:
        return False
    ip("addr", "add", OURS + "/30", "dev", LINK)
    ip("link", "set", LINK, "up")
    in_space("ip", "addr", "add", CAMERA + "/30", "dev", "eth0")
    in_space("ip", "link", "set", "eth0", "up")
    in_space("ip", "link", "set", "lo", "up")
    return True


def remove_network():
    ip("link", "del", LINK, check=False)
    ip("netns", "del", SPACE, check=False)


def filter_packets(*rules):
    """Replaces what the camera's machine drops of its own packets and of others."""
    in_space("nft", "flush", "ruleset")
    if rules:
        in_space("nft", "add", "table", "inet", "t")
        for hook in ("input", "output"):
            in_space("nft", "add", "chain", "inet", "t", hook, "{ type filter hook %s priority 0; }" % hook)
            for rule in rules:
                in_space("nft", "add", "rule", "inet", "t", hook, *rule.split())


class Server:
    def __init__(self, *arguments, port="8554"):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", SPACE, "/usr/bin/python3", os.path.join(INTEGRATION, "rtsp_server.py"),
             "--address", CAMERA, "--port", port, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("port "):
            raise RuntimeError("the camera did not start")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Client:
    """The cameras of the server, watched; its lines with the time when they came."""

    def __init__(self, seconds, *urls, fps="0", **environment):
        self.lines = queue.Queue()
        self.process = subprocess.Popen([CLIENT, "watch", str(seconds), fps, *urls], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=dict(os.environ, CROWD_INPUT="1", **environment))
        self.text = ""
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put((time.monotonic(), line))
        self.lines.put((time.monotonic(), None))

    def wait(self, pattern, seconds):
        """When a line with the pattern came; None: it did not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                when, line = self.lines.get(timeout=max(end - time.monotonic(), 0.01))
            except queue.Empty:
                break
            if line is None:
                break
            self.text += line
            if re.search(pattern, line):
                return when
        return None

    def stop(self):
        self.process.stdin.close()
        self.wait("^loop closed", 10)
        self.process.wait(10)
        return self.text


def figure(text, name, camera=0):
    found = re.search(r"^camera %d .*\b%s (-?[0-9.]+)" % (camera, name), text, re.M)
    return float(found.group(1)) if found else -1


def check(passed, what, text):
    if not tap.ok(passed, what):
        for line in text.splitlines()[-30:]:
            tap.diag(line)


def rate_of(text, camera, from_s=3):
    """Pictures a second of a camera, from its figures at the end of each second."""
    seconds = [(float(at), int(frames.split()[camera])) for at, frames in re.findall(r"^second ([0-9.]+) .* each((?: \d+)+)$", text, re.M)]
    seconds = [one for one in seconds if one[0] >= from_s]
    return (seconds[-1][1] - seconds[0][1]) / (seconds[-1][0] - seconds[0][0]) if len(seconds) > 3 else -1


class Neighbour:
    """A camera on another way, whose pictures nothing here may touch."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(INTEGRATION, "rtsp_server.py"), *ARGUMENTS, "--kbps", "1000", "--seconds", "600"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = "rtsp://127.0.0.1:%d/live" % int(self.process.stdout.readline().split()[1])

    def check(self, text):
        rate, gap = rate_of(text, 1), figure(text, "gap_ms", 1)
        check(abs(rate - 25) <= 0.25 * tap.SLOW and figure(text, "reconnects", 1) == 0,
              "its neighbour has %.2f pictures a second of 25, at most %d ms apart" % (rate, gap), text)

    def stop(self):
        self.process.kill()
        self.process.wait()


URL = "rtsp://%s:8554/live" % CAMERA
ARGUMENTS = ["--shared", "--width", "640", "--height", "360", "--fps", "25"]


def check_cut():
    server = Server(*ARGUMENTS)
    for what, cut, mend in [
            ("a cut that nobody sees", lambda: filter_packets("drop"), filter_packets),
            ("a cable pulled", lambda: in_space("ip", "link", "set", "eth0", "down"),
             lambda: in_space("ip", "link", "set", "eth0", "up"))]:
        client = Client(CUT_S + 60, URL)
        streaming = client.wait("^change 0 .* streaming", 10)
        check(streaming is not None, "%s: first it streams" % what, client.text)
        cut()
        at = time.monotonic()
        stalled = client.wait("^change 0 .* (stalled|backoff)", 10)
        noticed = stalled - at if stalled else 99
        check(noticed < 5, "%s: noticed after %.1f s" % (what, noticed), client.text)
        client.wait("^never", max(at + CUT_S - time.monotonic(), 0))
        mend()
        at = time.monotonic()
        back = client.wait("^change 0 .* streaming", 35)
        took = back - at if back else 99
        check(took < 2, "%s of %.0f s: pictures %.2f s after it is over" % (what, CUT_S, took), client.text)
        client.stop()
    server.kill()


def check_reboot():
    server = Server(*ARGUMENTS)
    client = Client(90, URL)
    client.wait("^change 0 .* streaming", 10)
    server.kill()
    in_space("ip", "link", "set", "eth0", "down")
    lost = client.wait("^change 0 .* backoff", 10)
    client.wait("^never", 3)
    in_space("ip", "link", "set", "eth0", "up")
    client.wait("^never", 2)
    server = Server("--shared", "--width", "320", "--height", "240", "--fps", "25")
    at = time.monotonic()
    back = client.wait(r"^change 0 .* streaming h264 320x240", 30)
    took = back - at if back else 99
    check(lost is not None and took < 2, "a camera that reboots into another picture size: pictures %.2f s after "
          "it listens" % took, client.text)
    text = client.stop()
    check(figure(text, "size") == 320 and figure(text, "reconnects") >= 1, "and they have that size", text)
    server.kill()


def check_password():
    server = Server("--auth", "digest", "--user", "admin", "--password", "right-c4n4ry")
    client = Client(30, "admin:wrong-c4n4ry@@" + URL, CROWD_LOG="1")
    client.wait("^change 0 .* backoff", 10)
    client.wait("^never", 3)
    text = client.stop()
    check(figure(text, "connects") == 1 and figure(text, "refused") == 1 and
          "refuses the user name or the password" in text, "a wrong password: said so, and not tried again at once", text)
    check("c4n4ry" not in text, "and not shown", text)
    server.kill()


def check_loss():
    server = Server(*ARGUMENTS, "--transport", "both", "--kbps", "1000")
    neighbour = Neighbour()
    filter_packets("udp sport != 53 numgen random mod 100 < 20 drop")
    client = Client(30, URL, neighbour.url, CROWD_TRANSPORT="udp")
    started = client.wait("^change 0 .* streaming", 15)
    client.wait("^never", 10)
    text = client.stop()
    lost = figure(text, "lost") / max(figure(text, "lost") + figure(text, "received"), 1)
    rate = figure(text, "frames") / 10
    check(started is not None and "transport udp" in text and 0.3 > lost > 0.1,
          "UDP: %.0f %% of the packets are lost, and counted" % (lost * 100), text)
    check(figure(text, "state") == -1 and "camera 0 state streaming" in text and rate > 5,
          "it goes on with %.1f pictures a second of 25" % rate, text)
    neighbour.check(text)
    neighbour.stop()
    filter_packets()
    server.kill()


def check_narrow():
    for kbps, least in (("1000", 20), ("4000", 1)):
        server = Server(*ARGUMENTS, "--kbps", kbps, "--pattern", "snow")
        in_space("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "2mbit", "burst", "32kb", "latency", "200ms")
        neighbour = Neighbour()
        client = Client(40, URL, neighbour.url)
        started = client.wait("^change 0 .* streaming", 15)
        first = client.wait("^second .* frames", 3)
        client.wait("^never", 8)
        text = client.stop()
        rate = figure(text, "decoded") / 8
        check(started is not None and first is not None and rate > least and figure(text, "reconnects") <= 2,
              "%s kbit/s through 2 Mbit/s: %.1f pictures a second" % (kbps, rate), text)
        neighbour.check(text)
        neighbour.stop()
        in_space("tc", "qdisc", "del", "dev", "eth0", "root")
        server.kill()


def main():
    if not os.path.exists(CLIENT):
        tap.skip_all("no %s" % CLIENT)
    if subprocess.run(["/usr/bin/python3", "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        tap.skip_all("GStreamer's RTSP server is not installed")
    try:
        if not build_network():
            tap.skip_all("network namespaces are not permitted")
        if in_space("nft", "flush", "ruleset", check=False).returncode != 0:
            tap.skip_all("nft does not work here")
        faults = {"cut": check_cut, "reboot": check_reboot, "password": check_password, "loss": check_loss, "narrow": check_narrow}
        for fault in os.environ.get("SIGHTLINE_FAULTS", " ".join(faults)).split():
            faults[fault]()
    finally:
        remove_network()
    tap.done()


main()
