#!/usr/bin/python3
"""`sightline count` on recordings that are cut off, damaged in the middle or no video at all: what was
read is counted, and the answer, the message and the exit code say that it is not all."""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import PROGRAM, SLOW, diag, done, equal, folder, footage, ok, skip_all

NOT_COMPLETE = 3
PLACE = folder()
CLIP_S = 6 if SLOW == 1 else 4
ARGUMENTS = ["--json", "--fps", "2", "--line", "middle:0.5,0,0.5,1"]


def make(name, *arguments):
    path = os.path.join(PLACE, name)
    made = subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", footage(), "-t", str(CLIP_S), "-vf", "scale=320:-2", *arguments, path],
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        skip_all(f"ffmpeg: {made.stderr.strip()}")
    with open(path, "rb") as file:
        return file.read()


def changed(name, content):
    path = os.path.join(PLACE, name)
    with open(path, "wb") as file:
        file.write(content)
    return path


def count(path, *arguments):
    """(exit code, the answer or None, standard error)."""
    result = subprocess.run([PROGRAM, "count", path, *(arguments or ARGUMENTS)], capture_output=True, text=True, check=False)
    diag(f"{os.path.basename(path)}: {result.returncode} {result.stderr.strip()}")
    return result.returncode, json.loads(result.stdout) if result.stdout.startswith("{") else result.stdout, result.stderr


H264 = ["-an", "-c:v", "libx264", "-preset", "ultrafast", "-g", "12"]
whole = make("whole.mp4", *H264, "-movflags", "+faststart")
code, full, _ = count(os.path.join(PLACE, "whole.mp4"))
equal(code, 0, "a whole recording ends with 0")
equal((full["complete"], full["why"]), (True, None), "and is complete")

code, cut, message = count(changed("cut.mp4", whole[:len(whole) * 6 // 10]))
equal(code, NOT_COMPLETE, "one that is cut off ends with 3")
ok(not cut["complete"] and cut["why"] and "not complete" in message, f"and says why: {cut['why']}")
ok(0 < cut["frames"] < full["frames"] and cut["frames_analysed"] > 0 and len(cut["lines"]) == 1,
   f"what was read is counted: {cut['frames']} of {full['frames']} pictures")
code, tail, _ = count(changed("tail.mp4", whole[:-2000]))
ok(code == NOT_COMPLETE and not tail["complete"], f"so is one that lacks its last pictures alone: {tail['why']}")

middle = len(whole) // 2
code, hole, _ = count(changed("hole.mp4", whole[:middle] + bytes(20000) + whole[middle + 20000:]))
ok(code == NOT_COMPLETE and not hole["complete"], f"and one with a hole: {hole['why']}")
ok(0 < hole["frames"] <= full["frames"] and hole["duration_s"] == full["duration_s"], "which is counted to its end")

# Matroska says at its beginning how long it is, and does not mind where it ends.
mkv = make("whole.mkv", *H264)
code, _, _ = count(os.path.join(PLACE, "whole.mkv"))
equal(code, 0, "a whole MKV ends with 0")
code, cut, _ = count(changed("cut.mkv", mkv[:len(mkv) // 2]))
ok(code == NOT_COMPLETE and cut["frames"] > 0, f"a cut one does not: {cut['why']}")

# AVI says in its header how many bytes it has; cut between two pictures, all of them can be read.
avi = make("whole.avi", *H264)
code, _, _ = count(os.path.join(PLACE, "whole.avi"))
equal(code, 0, "a whole AVI ends with 0")
code, cut, _ = count(changed("cut.avi", avi[:avi.rindex(b"00dc", 0, len(avi) // 2)]))
ok(code == NOT_COMPLETE and 0 < cut["frames"] < full["frames"] and "cut off" in cut["why"], f"a cut one does not: {cut['why']}")

# One that was written into a pipe has no size in its header, and a number of pictures that nobody has counted.
piped = subprocess.run(["ffmpeg", "-v", "error", "-i", os.path.join(PLACE, "whole.avi"), "-c", "copy", "-f", "avi", "-"],
                       capture_output=True, check=True).stdout
for name, header in ("piped", piped), ("unclosed", piped[:4] + bytes(4) + piped[8:]):
    code, said, _ = count(changed(f"{name}.avi", header))
    ok(code == 0 and said["complete"] and said["frames"] == full["frames"], f"an AVI that says nothing of its end is complete: {name}, {said['why']}")

# A transport stream has no length: that its last packet is not whole is all that there is to see.
ts = make("whole.ts", *H264)
code, _, _ = count(os.path.join(PLACE, "whole.ts"))
equal(code, 0, "a whole transport stream ends with 0")
code, cut, _ = count(changed("cut.ts", ts[:len(ts) // 2 // 188 * 188 + 100]))
ok(code == NOT_COMPLETE and 0 < cut["frames"] < full["frames"] and "cut off" in cut["why"], f"a cut one does not: {cut['why']}")

code, text, message = count(os.path.join(PLACE, "cut.mp4"), "--fps", "2", "--line", "middle:0.5,0,0.5,1")
ok(code == NOT_COMPLETE and "; not complete\n" in text and "line middle" in text and "not complete" in message, "as text, too")

make("one.mp4", *H264, "-frames:v", "1")
code, text, _ = count(os.path.join(PLACE, "one.mp4"), "--line", "middle:0.5,0,0.5,1")
ok(code == 0 and ": 1 picture, 1 analysed, " in text, f"one picture is one picture: {text.splitlines()[0] if text else ''}")

make("late.mp4", *H264) # the table of its pictures stands at its end
with open(os.path.join(PLACE, "late.mp4"), "rb") as file:
    late = file.read()
code, nothing, message = count(changed("headless.mp4", late[:len(late) // 2]))
ok(code == 1 and nothing == "" and "damaged" in message, f"one whose table is lost cannot be counted: {message.strip()}")

# Ctrl-C while the pictures go through: what was counted until then is told.
with subprocess.Popen([PROGRAM, "count", footage(), "--json", "--line", "middle:0.5,0,0.5,1"], stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, text=True) as running:
    while not os.path.exists(f"/proc/{running.pid}/task") or len(os.listdir(f"/proc/{running.pid}/task")) < 3:
        if running.poll() is not None:
            break
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60 * SLOW)
    answer = json.loads(output) if output else {}
    ok(running.returncode == NOT_COMPLETE and not answer.get("complete", True) and "stopped" in answer["why"],
       f"stopped by Ctrl-C: {answer.get('why')}")
done()
