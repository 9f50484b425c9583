#!/usr/bin/python3
"""bench/cuda_torch.py [--size N] [--seconds N] [--compile] [--check]

What PyTorch needs for the network that bench/cuda_bench.c runs: the shape of YOLOv8n with random weights, in
fp16, channels_last, as one CUDA graph; with --compile what torch.compile makes of it. Pictures
are in device memory already and outputs stay there. Prints TSV as cuda_bench does; says what is
missing and succeeds where there is no PyTorch or no card. --check runs it once on the processor and
says how many operations it has."""

import argparse
import sys
import time

import models_yolo

BATCHES = (1, 8, 32, 64)
ROUNDS, RUNS = 15, 10


class Channels:
    """The channels of a tensor, which it knows itself."""

    def __getitem__(self, x):
        return x.shape[1]

    def __setitem__(self, x, channels):
        assert x.shape[1] == channels


class Builder:
    """Runs what bench/models_yolo.py describes, with weights that are made the first time."""

    def __init__(self, torch, device, dtype):
        self.torch, self.device, self.dtype = torch, device, dtype
        self.channels, self.metadata, self.made = Channels(), {}, []
        self.random = torch.Generator().manual_seed(1)

    def __call__(self, x, size):
        self.x, self.next, self.multiply_adds = x, 0, 0
        models_yolo.yolov8(self, size)
        return self.y

    def kept(self, make):
        """What a step of the network keeps from its first run on."""
        if self.next == len(self.made):
            self.made.append(make())
        self.next += 1
        return self.made[self.next - 1]

    def weights(self, *shape):
        spread = (2.0 / (shape[1] * shape[2] * shape[3])) ** 0.5 if len(shape) == 4 else 0.1
        w = self.torch.randn(*shape, generator=self.random) * spread
        w = w.to(self.device, self.dtype)
        return w.contiguous(memory_format=self.torch.channels_last) if len(shape) == 4 else w

    def input(self, _name, _shape):
        return self.x

    def conv(self, x, out, kernel=1, stride=1, groups=1, act='silu'):
        functional = self.torch.nn.functional
        w, b = self.kept(lambda: (self.weights(out, x.shape[1] // groups, kernel, kernel),
                                  self.weights(out)))
        y = functional.conv2d(x, w, b, stride, kernel // 2, 1, groups)
        self.multiply_adds += y[0].numel() * w[0].numel()
        return functional.silu(y) if act == 'silu' else y

    def floats(self, shape, values):
        return self.kept(lambda: self.torch.tensor(values).reshape(shape)
                         .to(self.device, self.dtype))

    def number(self, value):
        return value

    def split(self, x, sizes, axis=1):
        return self.torch.split(x, sizes, axis)

    def concat(self, parts, name=None):
        y = self.torch.cat(parts, 1)
        self.y = y if name else None
        return y

    def reshape(self, x, shape):
        return x.reshape([x.shape[0]] + shape[1:])

    def transpose(self, x, order):
        return x.permute(order)

    def upsample(self, x):
        return self.torch.nn.functional.interpolate(x, scale_factor=2.0, mode='nearest')

    def output(self, _name, _rank):
        pass

    def node(self, kind, inputs, **attributes):
        functional = self.torch.nn.functional
        if kind == 'MaxPool':
            return functional.max_pool2d(inputs, attributes['kernel_shape'], attributes['strides'],
                                         attributes['pads'][:2])
        if kind == 'Softmax':
            return functional.softmax(inputs, attributes['axis'])
        if kind == 'Sigmoid':
            return self.torch.sigmoid(inputs)
        if kind == 'Concat':
            return self.torch.cat(inputs, attributes['axis'])
        a, b = inputs
        if kind == 'Conv':
            return functional.conv2d(a, b)
        return {'Add': lambda: a + b, 'Sub': lambda: a - b, 'Mul': lambda: a * b,
                'Div': lambda: a / b}[kind]()


def graph_of(torch, run, x):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(x)
    return graph.replay


def median_ms(torch, replay):
    rounds = []
    for _ in range(ROUNDS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(RUNS):
            replay()
        end.record()
        torch.cuda.synchronize()
        rounds.append(begin.elapsed_time(end) / RUNS)
    return sorted(rounds)[ROUNDS // 2]


def measure(torch, name, size, compiled, until):
    network = Builder(torch, 'cuda', torch.float16)
    for batch in BATCHES:
        if time.monotonic() > until:
            print('left out: %s at batch %d and above: no time' % (name, batch), file=sys.stderr)
            return
        x = torch.rand(batch, 3, size, size, device='cuda', dtype=torch.float16)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            network(x, size)
            run = torch.compile(network, mode='max-autotune-no-cudagraphs') if compiled else network
            ms = median_ms(torch, graph_of(torch, lambda given, run=run: run(given, size), x))
        print('yolov8n_shaped\t%s\tf16\t%d\t%.3f\t%.0f\t%.0f' %
              (name, batch, ms, batch * 1000 / ms,
               batch * 1000 / ms * 2 * network.multiply_adds / 1e9), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[1])
    parser.add_argument('--size', type=int, default=640)
    parser.add_argument('--seconds', type=int, default=120, help='no batch is begun after them')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--check', action='store_true')
    arguments = parser.parse_args()
    until = time.monotonic() + arguments.seconds
    try:
        import torch
    except ImportError:
        print('skipped: no PyTorch', file=sys.stderr)
        return 0
    if arguments.check:
        network = Builder(torch, 'cpu', torch.float32)
        with torch.inference_mode():
            y = network(torch.rand(2, 3, arguments.size, arguments.size), arguments.size)
        print('output %s, %.2f GFLOP' % ('x'.join(map(str, y.shape)),
                                         2 * network.multiply_adds / 1e9))
        return 0 if bool(torch.isfinite(y).all()) else 1
    if not torch.cuda.is_available():
        print('skipped: PyTorch sees no card', file=sys.stderr)
        return 0
    torch.backends.cudnn.benchmark = True
    name = 'torch %s, %s' % (torch.__version__, 'compiled' if arguments.compile else 'CUDA graph')
    measure(torch, name, arguments.size, arguments.compile, until)
    return 0


if __name__ == '__main__':
    sys.exit(main())
