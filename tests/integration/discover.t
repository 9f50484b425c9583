#!/usr/bin/python3
"""`sightline discover` finds a camera that answers on the network, and says so in words and in JSON."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from onvif_camera import Camera


def discover(*arguments):
    done = subprocess.run([tap.PROGRAM, "discover", *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


camera = Camera(554, [])
at = f"127.0.0.1:{camera.udp_port}"
code, out, err = discover("--at", at, "--wait", "1")
tap.equal(code, 0, "it ends well")
tap.ok("North gate" in out and "127.0.0.1" in out and "Sim-1" in out, "name, address and hardware are shown")
tap.ok("1 camera; asked on 1 network" in err, "and how many there are")
code, out, err = discover("--at", at, "--wait", "1", "--json")
devices = json.loads(out)
tap.equal([device["name"] for device in devices], ["North gate"], "JSON")
tap.equal(devices[0]["service"], f"http://127.0.0.1:{camera.http_port}/onvif/device_service",
          "the service at the address that answered, whatever the camera says")
camera.close()
code, out, err = discover("--at", at, "--wait", "0.2", "--json")
tap.equal((code, json.loads(out)), (0, []), "nobody there: an empty list")
tap.equal(discover("--at", "gate.example")[0], 1, "no address to ask")
tap.equal(discover("--wait", "zero")[0], 2, "wrong usage")
code, out, err = discover("--wait", "0.5", "--json")
tap.ok(code == 0 or "on no IPv4 network" in err, "asked on every network, or there is none")
tap.done()
