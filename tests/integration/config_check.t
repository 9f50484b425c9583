#!/usr/bin/python3
"""`sightline config check` on a file and on what it is handed through a pipe, with addresses that no camera can have; a FIFO in the
place of the file is refused."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import PROGRAM, SLOW, done, equal, folder, ok

PLACE = folder()
GOOD = f"data: {PLACE}\ncameras: {{gate: {{ffmpeg: {{inputs: [{{path: 'rtsp://10.0.0.1/a'}}]}}}}}}\n"
BAD = f"data: {PLACE}\ncameras: {{}}\nlog: {{levle: info}}\n"


def check(file, text=None, **more):
    """(exit code, standard output, standard error)."""
    result = subprocess.run([PROGRAM, "config", "check", file], input=text, capture_output=True, text=True, check=False,
                            timeout=30 * SLOW, **more)
    return result.returncode, result.stdout, result.stderr


path = os.path.join(PLACE, "a.yml")
with open(path, "w", encoding="utf-8") as file:
    file.write(GOOD)
equal(check(path), (0, f"{path}: good: 1 camera\n", ""), "a file")
equal(check("-", GOOD), (0, "-: good: 1 camera\n", ""), "a pipe")
equal(check("/dev/stdin", GOOD), (0, "/dev/stdin: good: 1 camera\n", ""), "by its other name")
end, other = os.pipe()
with os.fdopen(other, "w") as pipe:
    pipe.write(GOOD)
equal(check(f"/dev/fd/{end}", pass_fds=[end]), (0, f"/dev/fd/{end}: good: 1 camera\n", ""), "one that the shell has made")
code, _, problems = check("-", BAD)
ok(code == 1 and problems.startswith("-:3:"), f"a mistake in it has its place: {problems.strip()}")
with open(os.path.join(PLACE, "cameras.yml"), "w", encoding="utf-8") as file:
    file.write("cameras: {gate: {ffmpeg: {inputs: [{path: 'rtsp://10.0.0.2/a'}]}}}\n")
code, _, problems = check("-", GOOD)
ok(code == 1 and "cameras.yml" in problems, f"the server's own file is looked at with it: {problems.strip()}")
os.unlink(os.path.join(PLACE, "cameras.yml"))

# ---- addresses, each with its place, and all at once ----
ADDRESSES = [("ftp://u:c4n4ry@cam/", "not served"), ("rtsp://u:c4n4ry@cam:99999/", "port"), ("rtsp://u:c4n4ry@/x", "no host"), ("rtsp://u:c4n4ry", "port"),
             ("rtsp://u:c4n4/ry@cam/", "%2F"), ("rtsp://c4n4ry@2130706433/", "number"), ("rtsp://a b/", "space"), ("srt://cam/", "port"),
             ("srt://cam:9?mode=listener", "streamid"), ("rtsp://[fe80::1%eth0]/", "zone"), ("rtsp://cam..era/", "single '.'"),
             ("v4l2:///etc/passwd", "/dev/video0"), ("v4l2:///dev/video0?fps=0", "fps=15")]
lines = [f"  c{i}: {{ffmpeg: {{inputs: [{{path: '{address}'}}]}}}}\n" for i, (address, _) in enumerate(ADDRESSES)]
code, _, problems = check("-", "cameras:\n" + "".join(lines))
found = problems.splitlines()
equal((code, [line.split(":")[1] for line in found]), (1, [str(i + 2) for i in range(len(ADDRESSES))]), "each address that no camera can have, at its line")
for (address, word), line in zip(ADDRESSES, found):
    ok(word in line and "c4n4" not in line, f"{address}: {line}")
GOOD_ADDRESSES = ["rtsp://u:p#w?x@y@cam/a?b=c@d", "rtsps://[::1]:322/", "HTTP://Cam.example/x.m3u8", "rtmp://cam/live/a", "srt://cam:9?streamid=x", "/dev/video0",
                  "v4l2:///dev/video1", "clip.mp4", "rtsp://cam"]
lines = [f"  c{i}: {{ffmpeg: {{inputs: [{{path: '{address}', roles: [detect]}}, {{path: 'rtsp://v:w#@cam/main', roles: [view]}}]}}}}\n"
         for i, address in enumerate(GOOD_ADDRESSES)]
equal(check("-", "cameras:\n" + "".join(lines)), (0, f"-: good: {len(GOOD_ADDRESSES)} cameras\n", ""), "and those that one can have")
code, _, problems = check("-", "cameras: {a: {ffmpeg: {inputs: [{path: clip.mp4, roles: [detect]}, {path: 'ftp://cam/', roles: [view]}]}}}")
ok(code == 1 and "not served" in problems, f"the main stream's as well: {problems.strip()}")
fifo = os.path.join(PLACE, "fifo")
os.mkfifo(fifo)
code, _, problems = check(fifo)
ok(code == 1 and "not a regular file" in problems, f"a FIFO is not waited for: {problems.strip()}")
done()
