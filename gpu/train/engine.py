"""Networks in Sightline's engine: processes that take tensors and give outputs, one for each size of pictures.

The program is the build's target training_engine; SIGHTLINE_ENGINE names another place for it."""
import os
import subprocess
import tempfile

import numpy as np

import onnx_file

STRIDES = (8, 16, 32)
OUR_NUMBERS = 10
OUR_OUTPUTS = ["cells8", "cells16", "cells32"]


def find_program() -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    build = os.environ.get("SIGHTLINE_BUILD", os.path.join(here, "..", "..", "build", "release"))
    path = os.environ.get("SIGHTLINE_ENGINE", os.path.join(build, "bench", "training_engine"))
    if not os.access(path, os.X_OK):
        raise SystemExit(f"{path} is not there: build it with \"ninja -C build/release training_engine\"")
    return path


def grid(width: int, height: int) -> tuple:
    """Column and row (cells x 2) and stride (cells x 1) of every cell."""
    places, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[:height // stride, :width // stride]
        places.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(strides).astype(np.float32)


class Engine:
    """One model; any size that is a multiple of 32. Not for several threads or after a fork."""

    def __init__(self, model: str, precision: str = "f32", program: str = ""):
        self.program, self.precision = program or find_program(), precision
        with open(model, "rb") as stream:
            self.model = stream.read()
        self.ours = onnx_file.output_names(self.model) == OUR_OUTPUTS
        self.numbers = OUR_NUMBERS if self.ours else onnx_file.output_width(self.model)
        self.path, self.sizes, self.shapes, self.chooser = model, {}, {}, None

    def shape(self, width: int, height: int) -> tuple:
        """Width and height of the input through which the server would see such a picture."""
        if self.chooser is None:
            self.chooser = subprocess.Popen([self.program, self.path, "shape"], text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if (width, height) not in self.shapes:
            self.chooser.stdin.write(f"{width} {height}\n")
            self.chooser.stdin.flush()
            answer = self.chooser.stdout.readline().split()
            if len(answer) != 2:
                raise RuntimeError("the engine's process has ended")
            self.shapes[(width, height)] = (int(answer[0]), int(answer[1]))
        return self.shapes[(width, height)]

    def _open(self, width: int, height: int) -> tuple:
        places, strides = grid(width, height)
        if self.ours:
            shapes = [(1, self.numbers, height // s, width // s) for s in STRIDES]
        else:
            shapes = [(1, len(places), self.numbers)]
        with tempfile.NamedTemporaryFile(suffix=".onnx", delete=False) as stream:
            stream.write(onnx_file.resized(self.model, width, height, shapes))
        process = subprocess.Popen([self.program, stream.name, self.precision],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.sizes[(width, height)] = (process, places, strides)
        try:
            self.ask(np.zeros((3, height, width), np.float32))
        finally:  # by then it has read its file
            os.unlink(stream.name)
        return self.sizes[(width, height)]

    def ask(self, tensor: np.ndarray) -> tuple:
        """For 3 x height x width: the numbers of every cell, its place and its stride."""
        height, width = tensor.shape[1:]
        process, places, strides = self.sizes.get((width, height)) or self._open(width, height)
        process.stdin.write(np.ascontiguousarray(tensor, np.float32).tobytes())
        process.stdin.flush()
        wanted = len(places) * self.numbers * 4
        raw = process.stdout.read(wanted)
        if len(raw) < wanted:
            raise RuntimeError("the engine's process has ended")
        numbers = np.frombuffer(raw, np.float32)
        if not self.ours:
            return numbers.reshape(len(places), self.numbers), places, strides
        parts, at = [], 0
        for stride in STRIDES:
            count = (width // stride) * (height // stride)
            parts.append(numbers[at:at + count * self.numbers].reshape(self.numbers, count).T)
            at += count * self.numbers
        return np.concatenate(parts), places, strides

    def close(self) -> None:
        for process in [self.chooser] * (self.chooser is not None) + [entry[0] for entry in self.sizes.values()]:
            process.stdin.close()
            process.wait()
            process.stdout.close()
        self.sizes, self.chooser = {}, None
