#!/usr/bin/python3
"""The live counts against a real Redis: killed, emptied, hung, locked with a password, filled by another ledger.

Drives `live_test serve` (tests/unit/live_test.c), which is a ledger and a live store on a loop. After
each trouble Redis must hold what the ledger holds.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("SIGHTLINE_BUILD", "build/release")
HELPER = os.path.join(BUILD, "tests", "live_test")
PASSWORD = "canary 7/@:"
PASSWORD_IN_URL = "canary%207%2F%40%3A"
UP = 3

count = 0
failed = 0


def ok(passed, name):
    global count, failed
    count += 1
    failed += not passed
    print(f"{'ok' if passed else 'not ok'} {count} - {name}", flush=True)
    return passed


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    def __init__(self, folder, *options):
        self.folder, self.port, self.options = folder, free_port(), options
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder,
             "--appendonly", "no", *self.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait(lambda: self.ping(), "redis-server starts", quiet=True)

    def ping(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                link.sendall(b"PING\r\n")
                return link.recv(64)[:1] in (b"+", b"-")
        except OSError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask(self, *words):
        """A reply as str, int, None or list."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as link:
            file = link.makefile("rb")
            if "--requirepass" in self.options:
                self.write(link, "AUTH", self.options[self.options.index("--requirepass") + 1])
                self.read(file)
            self.write(link, *words)
            return self.read(file)

    @staticmethod
    def write(link, *words):
        parts = [word.encode() for word in words]
        link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))

    def read(self, file):
        line = file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            return file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.read(file) for _ in range(int(rest))]
        return line.decode()


class Live:
    def __init__(self, folder, url):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([HELPER, "serve", folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={**os.environ, "REDIS_URL": url})

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer.startswith("{") else answer

    def log(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def quit(self):
        self.say("quit")
        return self.process.wait(20)


def wait(condition, name, seconds=20, quiet=False):
    end = time.monotonic() + seconds
    started = time.monotonic()
    while time.monotonic() < end:
        if condition():
            if not quiet:
                ok(True, f"{name} ({time.monotonic() - started:.1f} s)")
            return True
        time.sleep(0.02)
    ok(False, name)
    return False


def settled(live):
    status = live.say("status")
    return status["redis"] == UP and status["published"] == status["last_seq"]


def pairs(values):
    return {values[i]: int(values[i + 1]) for i in range(0, len(values), 2)}


def equal(live, redis, name):
    """Redis holds the counts, the occupancy, the last event and the stream of the ledger."""
    expected = live.say("counters")
    del expected[""]
    found = pairs(redis.ask("HGETALL", "sightline:counts"))
    inside = {k: v for k, v in pairs(redis.ask("HGETALL", "sightline:occupancy")).items() if v != 0}
    last = live.say("status")["last_seq"]
    if not ok(found | inside == expected, f"{name}: counts and occupancy equal the ledger's"):
        differing = [k for k in expected if (found | inside).get(k) != expected[k]]
        print(f"# {len(differing)} differ, {len(found)} + {len(inside)} found, {len(expected)} expected")
    ok(int(redis.ask("GET", "sightline:last_seq") or 0) == last, f"{name}: last_seq is {last}")
    entries = redis.ask("XRANGE", "sightline:events", "-", "+")
    numbers = [int(entry[0].split("-")[0]) for entry in entries]
    dense = numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else last == 0
    ok(dense and (not numbers or numbers[-1] == last), f"{name}: the stream ends with {last}, without holes")
    ok(all(json.loads(entry[1][1])["seq"] == number for entry, number in zip(entries, numbers)),
       f"{name}: each entry is its event ({len(numbers)} kept)")


def troubles(root):
    redis = Redis(os.path.join(root, "r1"))
    os.mkdir(redis.folder)
    ledger = os.path.join(root, "ledger")
    live = Live(ledger, f"redis://127.0.0.1:{redis.port}/0")
    live.say("append 500")
    wait(lambda: "refused" in live.say("status")["reason"].lower(), "without a Redis counting goes on, with a reason")
    redis.start()
    wait(lambda: settled(live), "Redis appears and is filled", 10)
    equal(live, redis, "first")
    for _ in range(20):
        live.say("append 37")
    wait(lambda: settled(live), "increments arrive")
    equal(live, redis, "increments")
    ok(live.say("status")["reconnects"] == 0, "on one connection")

    redis.kill()
    live.say("append 300")
    wait(lambda: live.say("status")["redis"] != UP, "a killed Redis is noticed", 5)
    redis.start()
    wait(lambda: settled(live), "a Redis that lost everything is filled again", 10)
    equal(live, redis, "after the loss")

    memory = live.say("status")["resident_kb"]
    redis.process.send_signal(signal.SIGSTOP)
    for _ in range(30):
        live.say("append 500")
    wait(lambda: live.say("status")["redis"] != UP, "a hung Redis is dropped", 8)
    for _ in range(10):
        live.say("append 500")
    grown = live.say("status")["resident_kb"] - memory
    ok(grown < 40000, f"while it hangs, memory is flat (20000 events: {grown} KiB more, most of it pages of the ledger)")
    redis.process.send_signal(signal.SIGCONT)
    wait(lambda: settled(live), "it goes on and is brought up to date", 12)
    equal(live, redis, "after the hang")
    kept = redis.ask("XLEN", "sightline:events")
    ok(10000 <= kept < 11000, f"the stream is capped ({kept} entries)")

    live.process.kill()
    live.process.wait()
    live = Live(ledger, f"redis://localhost:{redis.port}")
    live.say("append 10")
    wait(lambda: settled(live), "after kill -9 of the server, by name")
    equal(live, redis, "after kill -9")
    ok(live.quit() == 0, "the loop is left empty")

    other = Live(os.path.join(root, "other"), f"redis://127.0.0.1:{redis.port}")
    other.say("append 5")
    wait(lambda: settled(other), "a new ledger replaces the counts of the old one")
    equal(other, redis, "another ledger")
    redis.ask("SET", "sightline:counts", "not a hash")
    other.say("append 5")
    wait(lambda: settled(other), "a damaged key is replaced")
    equal(other, redis, "a damaged key")
    other.quit()
    redis.kill()


def password(root):
    redis = Redis(os.path.join(root, "r2"), "--requirepass", PASSWORD)
    os.mkdir(redis.folder)
    redis.start()
    ledger = os.path.join(root, "locked")
    live = Live(ledger, f"redis://:{PASSWORD_IN_URL}@127.0.0.1:{redis.port}/0")
    live.say("append 20")
    wait(lambda: settled(live), "with the password")
    equal(live, redis, "with the password")
    live.quit()
    for url, words in ((f"redis://:wrong-canary@127.0.0.1:{redis.port}", "refuses the user or password"),
                       (f"redis://127.0.0.1:{redis.port}", "needs a password")):
        wrong = Live(ledger, url)
        wait(lambda: words in wrong.say("status")["reason"], f"told: {words}")
        wrong.quit()
        ok("canary" not in wrong.log(), "no password in the log")
    ok("canary" not in live.log(), "nor the right one")
    redis.kill()


def full(root):
    redis = Redis(os.path.join(root, "r3"), "--maxmemory", "1200000", "--maxmemory-policy", "noeviction")
    os.mkdir(redis.folder)
    redis.start()
    live = Live(os.path.join(root, "fullledger"), f"redis://127.0.0.1:{redis.port}")
    live.say("append 5000")
    wait(lambda: "OOM" in live.say("status")["reason"], "a full Redis is told")
    attempts = live.say("status")["reconnects"]
    time.sleep(2)
    ok(live.say("status")["reconnects"] - attempts <= 12, "and is not called without pause")
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    wait(lambda: settled(live), "with room again it is filled", 12)
    equal(live, redis, "after full")
    live.quit()
    redis.kill()


def main():
    if shutil.which("redis-server") is None:
        skip_all("no redis-server")
    if not os.path.exists(HELPER):
        skip_all(f"no {HELPER}")
    root = tempfile.mkdtemp(prefix="sightline-redis-")
    try:
        troubles(root)
        password(root)
        full(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(f"1..{count}")
    sys.exit(1 if failed else 0)


main()
