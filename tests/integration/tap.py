"""The Test Anything Protocol and the things that several integration tests need: the program under
test, a free port, the test material, an HTTP client, a server that is started and surely ended."""
import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BUILD = os.environ.get("SIGHTLINE_BUILD", "build/release")
PROGRAM = os.path.join(BUILD, "bin", "sightline")
MATERIAL = os.environ.get("SIGHTLINE_MATERIAL", "../shared/material")
# Sanitizers slow the program down; limits of time are stretched by this.
SLOW = 8 if BUILD.rstrip("/").endswith(("asan", "tsan")) else 1

_count = 0
_failed = 0

# What is registered with atexit runs too when a test is ended from outside, at the suite's limit of time.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def ok(condition, name):
    global _count, _failed
    _count += 1
    if not condition:
        _failed += 1
    print(f"{'ok' if condition else 'not ok'} {_count} - {name}", flush=True)
    return bool(condition)


def equal(got, expected, name):
    if not ok(got == expected, name):
        diag(f"got {got!r}, expected {expected!r}")


def diag(text):
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def done():
    print(f"1..{_count}")
    sys.exit(1 if _failed else 0)


def material(path):
    """A file of the test material, or the whole test is skipped."""
    whole = os.path.abspath(os.path.join(MATERIAL, path))
    if not os.path.exists(whole):
        skip_all(f"no {path} in the test material")
    return whole


def footage():
    """Debian's vtest.avi."""
    for place in ("/usr/share/doc/opencv-doc/examples/data/vtest.avi",
                  "build/footage/usr/share/doc/opencv-doc/examples/data/vtest.avi"):
        if os.path.exists(place):
            return os.path.abspath(place)
    skip_all("opencv-doc is not installed")


def folder():
    """A folder of this test's own that goes when it ends."""
    path = tempfile.mkdtemp(prefix="sightline-test-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds, interval=0.02):
    """Polls what another process does; returns the last value of the condition."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(interval)


class Server:
    """`sightline serve` with a configuration; ended at the end of the test, whatever happens."""

    def __init__(self, config, path=None, token=None, environment=None):
        self.path = path or folder()
        self.config = os.path.join(self.path, "sightline.yml")
        self.token = token
        self.environment = environment
        if config is not None:
            self.write(config)
        self.process = None
        self.start()
        atexit.register(self.kill)

    def write(self, config):
        temporary = self.config + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(config)
        os.rename(temporary, self.config)

    def start(self):
        # Files rather than pipes: nobody has to read them for the server to go on.
        self.out_file = open(os.path.join(self.path, "out"), "w+", encoding="utf-8")
        self.log_file = open(os.path.join(self.path, "log"), "a+", encoding="utf-8")
        environment = dict(os.environ, **(self.environment or {}))
        self.process = subprocess.Popen([PROGRAM, "serve", "-c", self.config], stdout=self.out_file,
                                        stderr=self.log_file, stdin=subprocess.DEVNULL, env=environment)
        self.address = wait_for(self._address, 10)
        if not self.address:
            diag("the server did not start:")
            diag(self.log())
            raise RuntimeError("no server")

    def _address(self):
        if self.process.poll() is not None:
            return "died"
        with open(os.path.join(self.path, "out"), encoding="utf-8") as file:
            found = re.search(r"Dashboard: (http://\S+)/", file.read())
        return found and found.group(1)

    def log(self):
        with open(os.path.join(self.path, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def out(self):
        with open(os.path.join(self.path, "out"), encoding="utf-8") as file:
            return file.read()

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def request(self, path, method="GET", body=None, headers=None):
        """(status, headers, bytes)"""
        request = urllib.request.Request(self.address + path, data=body, method=method,
                                         headers=headers or {})
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=10 * SLOW) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def get(self, path):
        return json.loads(self.request(path)[2])

    def events(self):
        """Every event in the ledger, in order."""
        events = []
        while True:
            page = self.get(f"/api/v1/events?since={events[-1]['seq'] if events else 0}&limit=1000")["events"]
            if not page:
                return events
            events += page

    def stop(self):
        """Ends it as an operator would; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            return "did not stop"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
