#!/usr/bin/python3
"""A camera whose packets are lost on the way: `ready`, the API and the metrics say so while it lasts, with the part that is lost."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import tap

LOST = 20


def camera(*arguments):
    process = subprocess.Popen([sys.executable, os.path.join(HERE, "rtsp_fake.py"), "--refuse", "tcp", "--pictures", "100000", *arguments],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return process, int(process.stdout.readline().split()[1])


lossy, lossy_port = camera("--lose", str(LOST))
whole, whole_port = camera()
server = tap.Server(f"""http: {{port: 0}}
data: data
cameras:
  lossy: {{ffmpeg: {{inputs: [{{path: "rtsp://127.0.0.1:{lossy_port}/live"}}]}}}}
  whole: {{ffmpeg: {{inputs: [{{path: "rtsp://127.0.0.1:{whole_port}/live"}}]}}}}
""")


def problems(name):
    return [one["text"] for one in server.get("/api/v1/ready")["problems"] if one["text"].startswith(name + ":") and "packets are lost" in one["text"]]


def metric(name):
    found = re.search(r'sightline_rtp_loss_ratio\{camera="%s"\} (\S+)' % name, server.request("/metrics")[2].decode())
    return float(found[1]) if found else -1


told = tap.wait_for(lambda: problems("lossy"), 20)
tap.ok(told, "it is a problem that health names")
share = int(re.search(r"(\d+) %", told[0])[1]) if told else 0
tap.ok(LOST - 10 < share < LOST + 10 and "transport: tcp" in (told or [""])[0], f"with its share, and what to do: {told}")
now = {one["name"]: one for one in server.get("/api/v1/cameras")["cameras"]}
tap.ok(0.1 < now["lossy"]["packet_loss"] < 0.3 and 0.1 < metric("lossy") < 0.3, f"the API and the metrics have it: {now['lossy']['packet_loss']}")
tap.ok(now["whole"]["packet_loss"] == 0 and metric("whole") == 0 and not problems("whole"), "nothing is said of one that loses none")
tap.equal(now["lossy"]["frames"]["failed"], 0, "pictures that could not be analysed have a figure, too")
lossy.kill()
tap.ok(tap.wait_for(lambda: not problems("lossy") and metric("lossy") == 0, 20), "when it is over it is not said any more")
tap.equal(server.stop(), 0, "the server stops")
for process in (lossy, whole):
    process.kill()
    process.wait()
tap.done()
