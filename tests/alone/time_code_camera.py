#!/usr/bin/python3
"""An RTSP camera whose every picture holds the time at which it was made: 32 blocks of black and white for the lower
bits of the wall clock in milliseconds, and below them the same inverted, so that a reader can tell a whole code from a
broken one. Prints "port N"; ends with its standard input."""
import sys
import time

import gi
import numpy as np

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

WIDTH, HEIGHT, FPS, BLOCK = 640, 360, 25, 20
LAUNCH = ("( appsrc name=clock is-live=true format=time do-timestamp=true caps=video/x-raw,format=I420,width=%d,height=%d,"
          "framerate=%d/1 ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=1500 key-int-max=25 "
          "! rtph264pay name=pay0 pt=96 config-interval=1 )" % (WIDTH, HEIGHT, FPS))


def picture():
    luma = np.full((HEIGHT, WIDTH), 90, np.uint8)
    now_ms = int(time.time() * 1000) & 0xFFFFFFFF
    for bit in range(32):
        value = 235 if now_ms >> bit & 1 else 16
        luma[0:BLOCK, bit * BLOCK:(bit + 1) * BLOCK] = value
        luma[BLOCK:2 * BLOCK, bit * BLOCK:(bit + 1) * BLOCK] = 251 - value
    # Something moves, so that pictures differ as a camera's do.
    luma[200:260, now_ms // 20 % (WIDTH - 60):][:, :60] = 200
    return luma.tobytes() + bytes([128]) * (WIDTH * HEIGHT // 2)


def configure(_factory, media):
    source = media.get_element().get_child_by_name("clock")

    def push():
        if source.emit("push-buffer", Gst.Buffer.new_wrapped(picture())) != Gst.FlowReturn.OK:
            return False
        return True
    GLib.timeout_add(1000 // FPS, push)


Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(LAUNCH)
factory.set_shared(True)
factory.connect("media-configure", configure)
server.get_mount_points().add_factory("/live", factory)
if server.attach(None) == 0:
    sys.exit("cannot listen")
loop = GLib.MainLoop()
GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_HUP | GLib.IO_IN, lambda *_: loop.quit())
print("port", server.get_bound_port(), flush=True)
loop.run()
