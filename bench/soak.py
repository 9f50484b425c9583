#!/usr/bin/python3
"""Cameras that come and go, for as long as one likes: does memory grow, are descriptors left open?

    bench/soak.py [MINUTES]        20 by default; days are fine

Six RTSP cameras whose servers are killed and started again every 15 s to a minute, two that stay, and three that lie, in one process
with the decoder (build/release/tests/camera_crowd_test; SIGHTLINE_BUILD names another build). The first third is
warm-up. Prints a line of figures each minute, and at the end the slope of the resident memory in MB an hour and whether the descriptors
are as many as before; exit status 1 when the slope is 1 MB/h or more (for runs of an hour and longer), or when a
descriptor was left open.
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


def slope(points):
    """Of the line through (seconds, kilobytes), in MB an hour."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    below = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / below * 3600 / 1024


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    flapping = [Flapping() for _ in range(FLAPPING)]
    steady = [start("rtsp_server.py", "--fps", "5", "--seconds", "999999999") for _ in range(STEADY)]
    liars = [start("rtsp_hostile.py", "--seed", str(seed)) for seed in range(LYING)]
    urls = [one.url for one in flapping] + ["rtsp://127.0.0.1:%d/live" % port for _, port in steady + liars]
    client = subprocess.Popen([CLIENT, "watch", str(minutes * 60), "1", *urls], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, env=dict(os.environ, CROWD_INPUT="1"))
    points, files, text = [], [], []
    begun = time.monotonic()

    def read():
        for line in client.stdout:
            found = re.match(r"second ([0-9.]+) .* rss_kb (\d+) files (\d+)", line)
            if found:
                points.append((float(found[1]), int(found[2])))
                files.append(int(found[3]))
                if len(points) % 60 == 0:
                    print(line.strip(), flush=True)
            else:
                text.append(line)

    reader = threading.Thread(target=read)
    reader.start()
    while client.poll() is None:
        for one in flapping:
            one.tick()
        time.sleep(0.5)
    reader.join()
    for one in flapping:
        one.stop()
    for process, _ in steady + liars:
        process.kill()
        process.wait()
    cut = len(points) // 3
    grows = slope(points[cut:])
    # Connections come and go: the most at once is compared, not the last.
    half = cut + (len(files) - cut) // 2
    left = max(files[half:], default=0) - max(files[cut:half], default=0)
    reconnects = sum(int(found) for line in text for found in re.findall(r"^camera .* reconnects (\d+)", line))
    print("minutes %.1f slope_mb_h %.2f rss_kb %d files_most %d files_change %d reconnects %d status %s" %
          ((time.monotonic() - begun) / 60, grows, points[-1][1] if points else 0, max(files[cut:], default=0), left,
           reconnects, client.returncode))
    print("".join(line for line in text if line.startswith("loop")), end="")
    failed = client.returncode != 0 or left > 4 or (minutes >= 60 and grows >= 1)
    sys.exit(1 if failed else 0)


main()
