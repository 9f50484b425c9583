#!/usr/bin/python3
"""`sightline config check` on a file and on what it is handed through a pipe; a FIFO in the place of the file is refused."""
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
fifo = os.path.join(PLACE, "fifo")
os.mkfifo(fifo)
code, _, problems = check(fifo)
ok(code == 1 and "not a regular file" in problems, f"a FIFO is not waited for: {problems.strip()}")
done()
