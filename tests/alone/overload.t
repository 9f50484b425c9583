#!/usr/bin/python3
"""More cameras than the detector can follow: each is slowed down in the same proportion, says so,
and is back at its rate when there is room again."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from tap import SLOW, Server, diag, done, folder, material, ok, skip_all, wait_for

CLIP = material("videos/opendatacam_street.mp4")
MODEL = material("models/yolox_nano_coco_416.onnx")
if SLOW > 1:
    skip_all("the rates are those of a normal build")

# One worker of YOLOX-nano does 50 to 100 pictures a second; these want 200 and more.
WANTED = [25, 25, 25, 25, 25, 25, 25, 12.5, 12.5, 5]
PLACE = folder()


def config(wanted):
    return (f"http: {{port: 0}}\ndata: {PLACE}/data\nmodel: {MODEL}\ninference: {{workers: 1}}\ncameras:\n" +
            "".join(f'  cam{i}: {{ffmpeg: {{inputs: [{{path: "{CLIP}"}}]}}, detect: {{fps: {fps}}}}}\n'
                    for i, fps in enumerate(wanted)))


def cameras():
    return server.get("/api/v1/cameras")["cameras"]


server = Server(config(WANTED), path=PLACE)
def load():
    return [p["text"] for p in server.get("/api/v1/ready")["problems"] if p["what"] == "load"]


ok(wait_for(lambda: any("slowed down" in c["analysis"] for c in cameras()), 20), "the overload is said")
ok(wait_for(lambda: any("% of its wanted rate" in text for text in load()), 5), f"and health names it as a problem: {load()}")
# Down at once, then up and down by steps around what there is: after some seconds it is near it.
wait_for(lambda: False, 12)
now = cameras()
shares = [c["fps"]["given"] / wanted for c, wanted in zip(now, WANTED) if c["fps"]["given"] > 1]
diag([(c["fps"]["wanted"], round(c["fps"]["given"], 2), c["fps"]["analysed"]) for c in now])
ok(shares and max(shares) < 1 and max(shares) - min(shares) < 0.01, f"every camera is given the same share: {shares[0]:.2f}")
got = [c["fps"]["analysed"] / c["fps"]["given"] for c in now]
behind = [c["name"] for c in now if "decode" in c["analysis"]]
if behind:
    # Key frames of this clip are seconds apart: what a camera then gets is not the detector's doing.
    ok(any("not all pictures are decoded" in text for text in load()), "health names this, too")
    ok(True, f"and gets it # SKIP other work leaves no time to decode {', '.join(behind)}")
else:
    ok(min(got) > 0.5 * max(got), f"and gets it: {min(got):.2f} to {max(got):.2f} of what it is given")
    ok(all(c["fps"]["analysed"] >= 0.8 for c in now), "none starves")
metrics = server.request("/metrics")[2].decode()
ok('sightline_analysis_wanted_rate{camera="cam0"} 25' in metrics and "sightline_analysis_given_rate" in metrics,
   "the metrics say what is wanted and what is given")

# Half of the cameras go: the others come back by themselves.
server.write(config(WANTED[:1]))
ok(wait_for(lambda: len(cameras()) == 1, 20), "all but one camera are taken away")
ok(wait_for(lambda: cameras()[0]["analysis"] == "as wanted", 120, 0.2), "it is back at its rate")
ok(wait_for(lambda: not load(), 20), "and health has nothing more to say of it")
done()
