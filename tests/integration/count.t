#!/usr/bin/python3
"""`sightline count` on real video with ground truth made by eye."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import MATERIAL, PROGRAM, SLOW, diag, done, equal, footage, material, ok, skip_all

MODEL = material("models/yolox_nano_coco_416.onnx")
if SLOW > 1:
    skip_all("minutes under a sanitizer; the server's tests run the same pipeline there")


def run(source, *arguments):
    return subprocess.run([PROGRAM, "count", source, "--model", MODEL, *arguments],
                          capture_output=True, text=True, check=False)


def count(source, *lines):
    """{line: (a_to_b, b_to_a)}, and the whole result."""
    arguments = ["--json"]
    for line in lines:
        arguments += ["--line", line]
    result = run(source, *arguments)
    if result.returncode != 0:
        diag(result.stderr)
        return {line.split(":")[0]: (-1, -1) for line in lines}, {}
    answer = json.loads(result.stdout)
    totals = {line["name"]: (line["total"]["a_to_b"], line["total"]["b_to_a"]) for line in answer["lines"]}
    diag(f"{os.path.basename(source)}: {totals} in {answer['wall_s']:.1f} s of {answer['duration_s']:.1f} s")
    return totals, answer


def near(got, truth, tolerance, name):
    ok(all(abs(g - t) <= tolerance for g, t in zip(got, truth)), f"{name}: {got}, truth {truth} within {tolerance}")


def line(truth_file, index=0):
    """'p1x,p1y,p2x,p2y' in pixels, as the ground truth has it."""
    with open(os.path.join(MATERIAL, "ground_truth", truth_file), encoding="utf-8") as file:
        truth = json.load(file)["lines"][index]
    return ",".join(str(v) for v in truth["p1"] + truth["p2"])


# Walking from the left to the right, the left hand is at the top of the picture: down is a_to_b.
street = material("videos/opendatacam_street.mp4")
totals, answer = count(street, "in:" + line("opendatacam_street.json"), "out:" + line("opendatacam_street.json", 1))
near(totals["in"], (24, 0), 2, "opendatacam_street, incoming")
near(totals["out"], (0, 11), 2, "opendatacam_street, outgoing")
equal(answer.get("frames"), 499, "every picture of the file was seen")

# Walking down, the left hand is at the right of the picture: left to right is b_to_a.
totals, answer = count(material("videos/one-by-one-person-detection.mp4"), "l:" + line("one-by-one-person-detection.json"))
equal(totals["l"], (0, 6), "one-by-one: six persons, left to right, exactly")
totals, answer = count(material("videos/pedestrian_survaillance.mp4"), "l:" + line("pedestrian_survaillance.json"))
equal(totals["l"], (4, 0), "pedestrian_survaillance: four persons, right to left, exactly")
totals, answer = count(material("videos/vehicle_survaillance.mp4"), "l:" + line("vehicle_survaillance.json"))
near(totals["l"], (4, 0), 1, "vehicle_survaillance")
totals, answer = count(footage(), "path:" + line("vtest.json", 0), "road:" + line("vtest.json", 1))
near(totals["path"], (12, 15), 1, "vtest, path")
near(totals["road"], (4, 4), 1, "vtest, road")

# Zones, and the same bytes every time (the time that it took aside).
zone = ["--zone", "table:330,0,599,0,599,431,330,431", "--json", "--fps", "5"]
first = run(material("videos/one-by-one-person-detection.mp4"), *zone)
second = run(material("videos/one-by-one-person-detection.mp4"), *zone)
strip = lambda text: {k: v for k, v in json.loads(text).items() if k != "wall_s"}
equal(strip(first.stdout), strip(second.stdout), "the same video gives the same counts")
table = json.loads(first.stdout)["zones"][0]
diag(table)
ok(abs(table["total"]["entries"] - 6) <= 1 and abs(table["total"]["exits"] - 6) <= 1, "six visits at the table")
text = [run(street, "--line", "in:0.18,0.667,0.68,0.667", "--fps", "10").stdout for _ in range(2)]
equal(text[0], text[1], "the text is the same to the byte")

# What a user gets wrong.
for arguments, words in (
        (["/nonexistent.mp4", "--line", "a:0,0,1,1"], "no such file"),
        ([street, "--line", "in:0,0"], "at least 2 points"),
        ([street, "--line", "0.1,0.2,0.3,0.4"], "NAME:x1,y1,x2,y2"),
        ([street, "--zone", "z:0,0,1,1,1,0,0,1"], "crosses itself"),
        ([street, "--fps", "many"], "not a number"),
        ([street, "--wibble", "1"], "no option"),
        ([street], "nothing to count"),
        ([street, "--line", "a:200,300,9000,300"], "x = 9000 is outside of the picture, "),
        ([street, "--line", "a:0,0,1,1", "--line", "a:0,1,1,0"], "two lines or zones"),
        ([], "no SOURCE"),
        (["http://127.0.0.1/x.mp4"], "")):
    result = subprocess.run([PROGRAM, "count", *arguments, "--model", MODEL], capture_output=True, text=True, check=False)
    ok(result.returncode in (1, 2) and words.lower() in result.stderr.lower() and not result.stdout
       and len(result.stderr.splitlines()) == 1,
       f"{' '.join(arguments) or 'nothing'}: {result.stderr.splitlines()[0] if result.stderr else ''}")
result = subprocess.run([PROGRAM, "count", street, "--line", "a:0,0,1,1", "--model", "/nonexistent.onnx"], capture_output=True, text=True, check=False)
ok(result.returncode == 1 and "cannot be read: No such file" in result.stderr, "a missing model is named, with the reason")
done()
