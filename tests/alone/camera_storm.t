#!/usr/bin/python3
"""Many RTSP cameras that all start in the same moment, real servers in processes of their own: all of them play, cameras that
are dead or lie change nothing for the others, and what the transport costs.

40 cameras by default, each with 5 pictures a second of which 1 is analysed; SIGHTLINE_CAMERAS=200
SIGHTLINE_STORM_S=30 is the whole storm.
"""
import os
import re
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
INTEGRATION = os.path.join(os.path.dirname(HERE), "integration")
sys.path.insert(0, INTEGRATION)
import tap  # noqa: E402

CLIENT = os.path.join(tap.BUILD, "tests", "camera_crowd_test")
CAMERAS = int(os.environ.get("SIGHTLINE_CAMERAS", "40"))
SECONDS = int(os.environ.get("SIGHTLINE_STORM_S", "20"))
PER_SERVER = 10
TRIES = 4
SETTLE_S = 8 + CAMERAS // 25  # servers on the same processors are slow to begin, too
servers = []


def server(script, *arguments):
    process = subprocess.Popen(["/usr/bin/python3", os.path.join(INTEGRATION, script), *arguments],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    servers.append(process)
    port = int(process.stdout.readline().split()[1])
    return "rtsp://127.0.0.1:%d/live" % port


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def watch(urls, seconds, **environment):
    text = subprocess.run([CLIENT, "watch", str(seconds), "1", *urls], stdout=subprocess.PIPE, text=True,
                          timeout=seconds + 60,
                          env=dict(os.environ, CROWD_SETTLE_S=str(SETTLE_S), **environment)).stdout
    cameras = {}
    for line in re.findall(r"^camera .*", text, re.M):
        fields = re.match(r"camera (\d+) state (\S+) frames (\d+) .* first_s (\S+) gap_ms (\d+) gap_at_s \S+ connects (\d+)", line)
        cameras[int(fields[1])] = (fields[2], int(fields[3]), float(fields[4]), int(fields[5]), int(fields[6]), line)
    second = [re.findall(r"(\w+) ([0-9.]+)", line) for line in re.findall(r"^second .*", text, re.M)]
    return cameras, [dict((name, float(value)) for name, value in one) for one in second], text


def storm(count, others):
    """Watches the cameras of `count` servers, and others. GStreamer's server is known to end itself when many
    clients of one shared stream begin at once ("gst_rtsp_media_get_rates: assertion failed"): that says nothing
    about us, so the storm is then repeated with new ones."""
    for _ in range(TRIES):
        real = [server("rtsp_server.py", "--shared", "--width", "640", "--height", "360", "--fps", "5", "--kbps", "300",
                       "--seconds", "600") for _ in range(count)]
        cameras, seconds, _ = watch([real[i % count] for i in range(CAMERAS)] + others, SECONDS)
        died = [one for one in servers[-count:] if one.poll() is not None]
        if not died:
            break
        tap.diag("%d of GStreamer's servers ended themselves: once more" % len(died))
    for one in servers[-count:]:
        one.kill()
    return cameras, seconds


def judge(what, cameras, count):
    playing = [one for number, one in cameras.items() if number < count and one[0] == "streaming"]
    bad = [one[5] for number, one in cameras.items() if number < count and one[0] != "streaming"]
    if not tap.ok(len(playing) == count, "%s: %d of %d play" % (what, len(playing), count)):
        tap.diag("\n".join(bad[:5]))
        return 0
    tries = sum(one[4] for one in playing)
    last = max(one[2] for one in playing)
    gap = max(one[3] for one in playing)
    tap.ok(tries <= count * 1.05, "%s: with %d connections, the last picture first seen after %.1f s" % (what, tries, last))
    tap.ok(gap <= 2000 * tap.SLOW, "%s: the longest time between pictures is %d ms of 1000" % (what, gap))
    return gap


def main():
    if not os.path.exists(CLIENT):
        tap.skip_all("no %s" % CLIENT)
    if subprocess.run(["/usr/bin/python3", "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        tap.skip_all("GStreamer's RTSP server is not installed")
    count = max(CAMERAS // PER_SERVER, 1)
    try:
        cameras, seconds = storm(count, [])
        alone = judge("alone", cameras, CAMERAS)
        ends = seconds[-1]
        begin = seconds[len(seconds) // 2]
        cost = (ends["loop_cpu_s"] - begin["loop_cpu_s"]) / (ends["second"] - begin["second"]) / CAMERAS * 100
        tap.ok(cost < 0.15 * tap.SLOW, "the loop spends %.3f %% of a core for a camera" % cost)
        each = (ends["rss_kb"] - seconds[0]["rss_kb"]) / CAMERAS
        tap.diag("%.0f kB of memory for a camera, with its decoder; %d descriptors" % (each, ends["files"]))

        real = [server("rtsp_server.py", "--shared", "--width", "640", "--height", "360", "--fps", "5", "--kbps", "300",
                       "--seconds", "600") for _ in range(2)]
        few, many = [watch([real[i % 2] for i in range(size)], 6, CROWD_VIEW="1") for size in (2, 2 * PER_SERVER)]
        each = (many[1][-1]["rss_kb"] - few[1][-1]["rss_kb"]) / (len(many[0]) - len(few[0]))
        tap.ok(all(one[1] > 5 for one in [*few[0].values(), *many[0].values()]) and each < 2048 * tap.SLOW,
               "%.0f kB of memory for a camera that plays, without its decoder" % each)
        for one in servers[-2:]:
            one.kill()

        liar = server("rtsp_hostile.py", "--seed", "7")
        dead = ["rtsp://127.0.0.1:%d/" % free_port(), "rtsp://198.18.255.254/", liar, liar]
        tenth = max(CAMERAS // 10, 4)
        cameras, seconds = storm(count, [dead[i % 4] for i in range(tenth)])
        beside = judge("beside %d that are dead or lie" % tenth, cameras, CAMERAS)
        tap.ok(beside <= alone + 200 * tap.SLOW, "which adds %d ms at most" % max(beside - alone, 0))
    finally:
        for one in servers:
            one.kill()
            one.wait()
    tap.done()


main()
