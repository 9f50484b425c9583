#!/usr/bin/python3
"""Cameras that come and go, for as long as one likes: does memory grow, are descriptors left open?

    bench/soak.py [MINUTES]        20 by default; days are fine

Six RTSP cameras whose servers are killed and started again every 15 s to a minute, two that stay, and three that lie, and two
clients that watch all of them (build/release/tests/camera_crowd_test; SIGHTLINE_BUILD names another build): one decodes in
sandboxed processes, as the server does by default, one in threads. The first third, 15 minutes at most, is warm-up. Prints a line of
figures of each client each minute, and at the end for each the slope in MB an hour, the number of cameras that play held, of all
that is resident, of what was allocated
(without the programs' own code, which is read in when it is first used), of what its decoder processes allocated, and of what
the program holds (without what the allocator keeps for later); and whether the descriptors are as many as before. Exit status 1
when the first of these slopes is 1 MB/h or more (for runs of 40 minutes and longer), or when a descriptor was left open.
"""
import os
import random
import re
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
INTEGRATION = os.path.join(os.path.dirname(HERE), "tests", "integration")
BUILD = os.environ.get("SIGHTLINE_BUILD", "build/release")
CLIENT = os.path.join(BUILD, "tests", "camera_crowd_test")
FLAPPING, STEADY, LYING = 6, 2, 3
WARM_UP_S = 900
FIGURES = ("rss_kb", "anon_kb", "decoders_kb", "heap_kb")


def start(script, *arguments):
    process = subprocess.Popen(["/usr/bin/python3", os.path.join(INTEGRATION, script), *arguments],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = process.stdout.readline()
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process, int(line.split()[1]) if line.startswith("port ") else 0


class Flapping:
    def __init__(self):
        self.process, self.port = start("rtsp_server.py", "--fps", "5", "--seconds", "999999999")
        self.url = "rtsp://127.0.0.1:%d/live" % self.port
        self.next = time.monotonic() + random.uniform(15, 60)

    def tick(self):
        if time.monotonic() < self.next:
            return
        if self.process is not None:
            self.stop()
            self.next = time.monotonic() + random.uniform(2, 20)
        else:
            self.process, port = start("rtsp_server.py", "--fps", "5", "--seconds", "999999999", "--port", str(self.port))
            self.next = time.monotonic() + random.uniform(15, 60)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None


def without(values, held):
    """What of these is left, on average 0, when what goes with the others is taken off."""
    mean, mean_held = sum(values) / len(values), sum(held) / len(held)
    below = sum((x - mean_held) ** 2 for x in held)
    factor = sum((x - mean_held) * (y - mean) for x, y in zip(held, values)) / below if below > 0 else 0
    return [y - mean - factor * (x - mean_held) for x, y in zip(held, values)]


def slope(points):
    """Of kilobytes over seconds, in MB an hour, with the number of cameras that play held: each has memory of its own as
    long as it does. `points`: (seconds, playing, kilobytes)."""
    if len(points) < 3:
        return 0.0
    seconds, playing, kilobytes = zip(*points)
    seconds, kilobytes = without(seconds, playing), without(kilobytes, playing)
    return sum(x * y for x, y in zip(seconds, kilobytes)) / sum(x * x for x in seconds) * 3600 / 1024


class Client:
    """One that watches; reads what it says until it ends."""

    def __init__(self, name, minutes, options, urls):
        self.name = name
        self.points, self.text = [], []
        self.process = subprocess.Popen([CLIENT, "watch", str(minutes * 60), "1", *options, *urls], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=dict(os.environ, CROWD_INPUT="1"))
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            found = re.match(r"second ([0-9.]+) ", line)
            if not found:
                self.text.append(line)
                continue
            figures = {name: int(value) for name, value in re.findall(r" (\w+_kb|files|streaming) (\d+)", line)}
            self.points.append((float(found[1]), figures))
            if len(self.points) % 60 == 0:
                print(self.name, line.strip(), flush=True)

    def report(self, minutes):
        """True when nothing grew and nothing was left open."""
        cut = min(len(self.points) // 3, WARM_UP_S)
        late = self.points[cut:]
        slopes = {name: slope([(second, figures["streaming"], figures[name]) for second, figures in late]) for name in FIGURES}
        # Connections come and go: the most at once is compared, not the last.
        files = [figures["files"] for _, figures in late]
        left = max(files[len(files) // 2:], default=0) - max(files[:len(files) // 2], default=0)
        reconnects = sum(int(found) for line in self.text for found in re.findall(r"^camera .* reconnects (\d+)", line))
        print("%s minutes %.1f rss_kb %d files_most %d files_change %d reconnects %d status %d" % (
            self.name, minutes, late[-1][1]["rss_kb"] if late else 0, max(files, default=0), left, reconnects,
            self.process.returncode), *("%s_slope_mb_h %.2f" % (name[:-3], value) for name, value in slopes.items()))
        print("".join(line for line in self.text if line.startswith("loop")), end="")
        return self.process.returncode == 0 and left <= 4 and (minutes < 40 or slopes["rss_kb"] < 1)


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    flapping = [Flapping() for _ in range(FLAPPING)]
    steady = [start("rtsp_server.py", "--fps", "5", "--seconds", "999999999") for _ in range(STEADY)]
    liars = [start("rtsp_hostile.py", "--seed", str(seed)) for seed in range(LYING)]
    urls = [one.url for one in flapping] + ["rtsp://127.0.0.1:%d/live" % port for _, port in steady + liars]
    clients = [Client("process", minutes, ["--isolated"], urls), Client("thread", minutes, [], urls)]
    begun = time.monotonic()
    while any(client.process.poll() is None for client in clients):
        for one in flapping:
            one.tick()
        time.sleep(0.5)
    for client in clients:
        client.reader.join()
    for one in flapping:
        one.stop()
    for process, _ in steady + liars:
        process.kill()
        process.wait()
    good = [client.report((time.monotonic() - begun) / 60) for client in clients]
    sys.exit(0 if all(good) else 1)


main()
