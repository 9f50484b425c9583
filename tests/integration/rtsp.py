"""A real RTSP camera (GStreamer's server in a process of its own) for integration tests."""
import atexit
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


class RtspServer:
    """Plays `video` (H.264 in MP4), or a test picture when it is None. Ends with the test."""

    def __init__(self, video=None, *arguments):
        self.arguments = ["--seconds", "3600"] + list(arguments) + (["--file", video] if video else [])
        self.start()
        atexit.register(self.stop)

    def start(self, port=None):
        extra = ["--port", str(port)] if port else []
        self.process = subprocess.Popen(
            ["/usr/bin/python3", os.path.join(HERE, "rtsp_server.py"), *self.arguments, *extra],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("port "):
            raise RuntimeError(f"the RTSP server did not start: {line!r}")
        self.port = int(line.split()[1])
        self.url = f"rtsp://127.0.0.1:{self.port}/live"

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
