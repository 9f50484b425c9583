#!/usr/bin/python3
"""`sightline model` on the models that people have, and a model changed under a running server."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from tap import MATERIAL, PROGRAM, SLOW, Server, diag, done, equal, folder, footage, ok, wait_for

MODELS = os.path.abspath(os.path.join(MATERIAL, "models"))
YOLOX = os.path.join(MODELS, "yolox_nano_coco_416.onnx")
FASTEST = os.path.join(MODELS, "FastestDet.onnx")


def model(*arguments):
    return subprocess.run([PROGRAM, "model", *arguments], capture_output=True, text=True, check=False, timeout=300)


def checked(*arguments):
    result = model("check", *arguments, "--json")
    return result.returncode, json.loads(result.stdout)


# ---- without any model ----

result = model("--help")
ok(result.returncode == 0 and "quantize" in result.stdout, "help")
for wrong in ([], ["paint", "a.onnx"], ["check"], ["compare", "a.onnx"], ["quantize", "a.onnx"],
              ["check", "a.onnx", "--precision", "f7"], ["bench", "a.onnx", "--threads", "0"],
              ["check", "a.onnx", "--class", "van"], ["check", "a.onnx", "--class", "van=boat"],
              ["check", "a.onnx", "b.onnx"], ["check", "a.onnx", "--head"], ["check", "a.onnx", "--bogus", "x"],
              ["check", "a.onnx", "--batch", "2"], ["compare", "a.onnx", "b.jpg", "--threads", "2"], ["bench", "a.onnx", "--head", "ssd"],
              ["quantize", "a.onnx", "--calibrate", "b", "--precision", "int8"], ["bench", "a.onnx", "--seconds", "1x"],
              ["bench", "a.onnx", "--seconds", "nan"], ["bench", "a.onnx", "--batch", "0"], ["check", "a.onnx", "-o", "b.onnx"]):
    result = model(*wrong)
    ok(result.returncode == 2 and result.stderr.startswith("sightline model: "), f"wrong usage: {' '.join(wrong)}")
here = folder()
default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "gpu", "models", "default.onnx")
result = model("check", os.path.join(here, "none.onnx"))
ok(result.returncode == 1 and "there is no such file" in result.stdout, "a model that is not there")
os.mkfifo(os.path.join(here, "fifo"))
for arguments in (["check", os.path.join(here, "fifo")], ["compare", default, os.path.join(here, "fifo")],
                  ["check", default, "--classes", os.path.join(here, "fifo")]):
    result = model(*arguments)
    ok(result.returncode == 1 and "fifo: this is not a regular file" in result.stdout + result.stderr,
       f"a FIFO is waited for by nobody: {' '.join(arguments)}")
with open(os.path.join(here, "text.onnx"), "w", encoding="utf-8") as file:
    file.write("not a model\n")
code, answer = checked(os.path.join(here, "text.onnx"))
ok(code == 1 and not answer["usable"] and "not an ONNX file" in answer["problem"], "a file that is no model")


# ---- the model that comes with Sightline, whose size is open ----

code, answer = checked(default)
ok(code == 0 and answer["usable"] and (answer["input"]["shape"], answer["input"]["width"], answer["input"]["height"]) ==
   ("picture", 512, 288), f"the default model takes the picture's shape: {answer.get('input')}")
ok("in the shape of each camera's picture" in model("check", default).stdout, "and people are told")


# ---- a model that is refused, with everything that is missing ----

def field(number, payload):
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def tensor_type(*dimensions):
    shape = b"".join(field(1, field(1, size)) for size in dimensions)
    return field(1, field(1, 1) + field(2, shape))


def write_unknown(path):
    nodes = [("x", "a", "Relu"), ("a", "b", "FancyOne"), ("b", "c", "FancyTwo"), ("c", "y", "FancyOne")]
    graph = b"".join(field(1, field(1, i) + field(2, o) + field(4, op)) for i, o, op in nodes)
    graph += field(11, field(1, "x") + field(2, tensor_type(1, 3, 32, 32)))
    graph += field(12, field(1, "y") + field(2, tensor_type(1, 21, 6)))
    with open(path, "wb") as out:
        out.write(field(1, 8) + field(2, "somebody") + field(7, graph) + field(8, field(1, "") + field(2, 17)))


unknown = os.path.join(here, "unknown.onnx")
write_unknown(unknown)
code, answer = checked(unknown)
equal((code, sorted((o["name"], o["count"]) for o in answer["operators"] if not o["known"])),
      (1, [("FancyOne", 2), ("FancyTwo", 1)]), "all unknown operators are told at once")
equal((answer["producer"], answer["opset"]), ("somebody", 17), "and who made the file")
result = model("check", unknown)
ok(result.returncode == 1 and "FancyTwo (1 time)" in result.stdout, "for people too")

if not os.path.exists(YOLOX):
    diag("no models: the rest is skipped")
    done()

# ---- the models that people have ----

EXPECTED = {"yolox_nano_coco_416.onnx": ("yolox", 416, "bgr", "top_left", 1.05),
            "FastestDet.onnx": ("fastestdet", 352, "bgr", "stretch", 0.24),
            "nanodet_m.onnx": ("nanodet", 416, "bgr", "centred", 1.16)}
for name, (head, size, colors, fit, gflop) in EXPECTED.items():
    code, answer = checked(os.path.join(MODELS, name))
    equal((code, answer["usable"], answer["head"], answer["input"]),
          (0, True, head, {"width": size, "height": size, "colors": colors, "fit": fit, "shape": "fixed"}), f"{name} is a {head}")
    equal(answer["classes"], {n: n for n in ("person", "bicycle", "car", "motorcycle", "bus", "truck")}, "its classes")
    ok(abs(answer["gflop"] - gflop) < 0.01 and answer["worker_bytes"] > 0, f"{answer['gflop']} GFLOP")
    ok(any(way["chosen"] and way["possible"] for way in answer["runs_on"]), "one way to run it is chosen")
code, answer = checked(YOLOX, "--class", "truck=none", "--class", "traffic light=car", "--class", "6=bus")
equal((code, answer["classes"].get("truck"), answer["classes"].get("traffic light"), answer["classes"].get("train")),
      (0, None, "car", "bus"), "what is counted as what can be said, by name and by number")
code, answer = checked(YOLOX, "--class", "vam=car")
ok(code == 1 and '"vam" is no class' in answer["problem"], answer["problem"])
with open(os.path.join(here, "names.txt"), "w", encoding="utf-8") as file:
    file.write("pedestrian\nLorry\n\nvan\n")
code, answer = checked(YOLOX, "--classes", os.path.join(here, "names.txt"))
equal((code, answer["classes"]), (0, {"pedestrian": "person", "Lorry": "truck", "van": "car"}), "names from a file")
code, answer = checked(YOLOX, "--head", "nanodet")
ok(code == 1 and "no nanodet model" in answer["problem"], "a head that does not fit")
code, answer = checked(YOLOX, "--head", "wibble")
ok(code == 1 and "known are " in answer["problem"], "a head that there is not")

result = model("bench", FASTEST, "--seconds", "0.3", "--threads", "2", "--precision", "f32", "--json")
answer = json.loads(result.stdout)
ok(result.returncode == 0 and answer["runs"] > 2 and 0 < answer["ms_p5"] <= answer["ms"] <= answer["ms_p95"],
   f"bench: {answer.get('ms')} ms")
equal((answer["backend"], answer["precision"], answer["threads"]), ("cpu", "f32", 2), "of what was asked for")
ok(abs(answer["gflops"] / answer["images_per_s"] - 0.24) < 0.01, "GFLOP/s fit the rate")
result = model("bench", FASTEST, "--batch", "500")
ok(result.returncode == 1 and "at most" in result.stderr, "a batch that is too large")

result = model("compare", FASTEST, os.path.join(MODELS, "bus.jpg"), os.path.join(MODELS, "street.png"),
               "--precision", "f32", "--backend", "cpu", "--json")
answer = json.loads(result.stdout)
equal((result.returncode, answer["pictures"], len(answer["rows"])), (0, 2, 1), "compare: f32 with itself")
row = answer["rows"][0]
equal((row["error_max"], row["boxes_matched"], row["boxes_extra"], row["share"]), (0, row["boxes"], 0, 1), "is the same")
ok(row["boxes"] >= 3, f"on {row['boxes']} boxes")
result = model("compare", FASTEST, os.path.join(MODELS, "bus.jpg"))
ok(result.returncode == 0 and "1 picture; reference: cpu f32" in result.stdout, "with all that there is")
result = model("compare", FASTEST, os.path.join(here, "names.txt"))
ok(result.returncode == 1 and result.stderr.startswith("sightline model: "), "a picture that is none")
os.mkdir(os.path.join(here, "empty"))
result = model("quantize", FASTEST, "--calibrate", os.path.join(here, "empty"), "-o", os.path.join(here, "q.onnx"))
ok(result.returncode == 1 and not os.path.exists(os.path.join(here, "q.onnx")), result.stderr.strip())

# ---- another model under a running server ----

VIDEO = footage()
used = os.path.join(here, "used.onnx")
shutil.copy(YOLOX, used)


def config(text):
    return (f"http: {{port: 0}}\ndata: data\nmodel: {text}\ninference: {{workers: 2}}\ncameras:\n"
            f"  a:\n    ffmpeg: {{inputs: [{{path: {VIDEO}}}]}}\n    detect: {{fps: 5}}\n"
            "    lines: {l: {coordinates: '0.1,0.5,0.9,0.5'}}\n")


def metric(name):
    status, _, body = server.request("/metrics")
    for line in body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    diag(f"no {name}: {status}")
    return -1


def runs():
    return server.get("/api/v1/version")["model"]


def problems():
    return [p["text"] for p in server.get("/api/v1/ready")["problems"] if p["what"] == "model"]


def goes_on():
    before = metric("sightline_inference_batches_total")
    return wait_for(lambda: metric("sightline_inference_batches_total") > before + 2, 10 * SLOW)


server = Server(config(used))
ok(wait_for(lambda: metric("sightline_inference_batches_total") > 2, 20 * SLOW) and runs().startswith("used.onnx (yolox"),
   f"runs {runs()}")
server.write(config("{file: %s, class_map: {bus: none}}" % FASTEST))
ok(wait_for(lambda: "fastestdet" in runs(), 30 * SLOW), f"another model without a restart: {runs()}")
ok(goes_on(), "pictures are analysed on")
equal((metric("sightline_inference_model_swaps_total"), metric("sightline_inference_frames_failed_total")), (1, 0),
      "none failed")
server.write(config("{file: %s, head: yolox}" % FASTEST))
ok(wait_for(problems, 30 * SLOW), f"one that does not fit is refused: {problems()}")
ok("fastestdet" in runs() and goes_on(), "and the old one runs on")
server.write(config(used))
ok(wait_for(lambda: "yolox" in runs(), 30 * SLOW) and not problems(), "back again, and nothing is wrong")
shutil.copy(os.path.join(MODELS, "nanodet_m.onnx"), used + ".new")
os.replace(used + ".new", used)
server.write(config(used) + "\n")
ok(wait_for(lambda: "nanodet" in runs(), 30 * SLOW), "a new file in the place of the old is another model")
ok(goes_on(), "pictures are analysed on")
cameras = server.get("/api/v1/cameras")["cameras"]
equal([c["reconnects"] for c in cameras], [0], "the camera never went away")
server.stop()

# ---- a server that began without one; its programs stand where no default model is near ----

apart = os.path.join(here, "bin")
os.mkdir(apart)
for program in ("sightline", "sightline-decode"):
    shutil.copy(os.path.join(os.path.dirname(PROGRAM), program), apart)
tap.PROGRAM = os.path.join(apart, "sightline")
server = Server(config("''"))
ok("no model found" in str(problems()), f"without a model it runs, and says so: {problems()}")
ok(wait_for(lambda: server.get("/api/v1/cameras")["cameras"][0]["state"] == "streaming", 20), "its camera plays")
server.write(config(unknown))
ok(wait_for(lambda: any("FancyOne" in p for p in problems()), 30), f"one that cannot be run is refused: {problems()}")
server.write(config(FASTEST))
ok(wait_for(lambda: "fastestdet" in runs(), 30) and not problems(), f"the first one needs no restart: {runs()}")
ok(wait_for(lambda: metric("sightline_inference_batches_total") > 2, 20), "pictures are analysed")
ready = server.get("/api/v1/ready")
ok("restart" not in str(ready) and "next start" not in str(ready), f"nothing is left to do: {ready['status']}")
server.write(config(YOLOX))
ok(wait_for(lambda: "yolox" in runs(), 30) and goes_on(), "and another one after it")
equal(server.stop(), 0, "it stops")
server = Server(config("''"))
server.write(config(FASTEST))
equal(server.stop(), 0, "it stops while the first one may be on its way")
shutil.rmtree(here, ignore_errors=True)
done()
