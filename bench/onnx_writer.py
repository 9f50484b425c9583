"""Writes ONNX files with the standard library alone: for the models that make_model.py makes.

Only what such files need of protobuf and of onnx.proto is here. Weights are random, the same for
the same seed; their size follows the number of inputs, so that numbers neither fade nor explode.
"""

import array
import math
import random
import struct

FLOAT, INT64, BOOL = 1, 7, 9


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field_int(number, value):
    return varint(number << 3) + varint(value)


def field_bytes(number, data):
    if isinstance(data, str):
        data = data.encode()
    return varint(number << 3 | 2) + varint(len(data)) + data


def field_float(number, value):
    return varint(number << 3 | 5) + struct.pack('<f', value)


def tensor(name, kind, dims, raw):
    out = b''.join(field_int(1, d) for d in dims) + field_int(2, kind)
    return out + field_bytes(8, name) + field_bytes(9, raw)


def attribute(name, value):
    out = field_bytes(1, name)
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, int):
        return out + field_int(3, value) + field_int(20, 2)
    if isinstance(value, float):
        return out + field_float(2, value) + field_int(20, 1)
    if isinstance(value, str):
        return out + field_bytes(4, value) + field_int(20, 3)
    if isinstance(value, bytes):  # a tensor
        return out + field_bytes(5, value) + field_int(20, 4)
    if value and isinstance(value[0], float):
        return out + b''.join(field_float(7, v) for v in value) + field_int(20, 6)
    return out + b''.join(field_int(8, v) for v in value) + field_int(20, 7)


def value_info(name, dims, kind=FLOAT):
    shape = b''.join(
        field_bytes(1, field_bytes(2, d) if isinstance(d, str) else field_int(1, d)) for d in dims)
    return field_bytes(1, name) + field_bytes(
        2, field_bytes(1, field_int(1, kind) + field_bytes(2, shape)))


class Model:
    """A graph that grows node by node; tensors are known by name, pictures also by channels."""

    def __init__(self, seed=1, opset=17):
        self.random = random.Random(seed)
        self.opset = opset
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []
        self.metadata = {}
        self.channels = {}
        self.parameters = 0
        self.known = {}

    def input(self, name, dims):
        self.inputs.append(value_info(name, dims))
        self.channels[name] = dims[1]
        return name

    def output(self, name, rank, kind=FLOAT):
        self.outputs.append(value_info(name, ['d%d' % i for i in range(rank)], kind))

    def floats(self, dims, numbers):
        name = 'w%d' % len(self.constants)
        raw = array.array('f', numbers)
        assert len(raw) == math.prod(dims)
        self.constants.append(tensor(name, FLOAT, dims, raw.tobytes()))
        return name

    def ints(self, numbers, scalar=False):
        """A list of integers, or one; the same list is kept once."""
        numbers = [numbers] if isinstance(numbers, int) else list(numbers)
        key = (tuple(numbers), scalar)
        if key not in self.known:
            name = 'i%d' % len(self.constants)
            raw = array.array('q', numbers).tobytes()
            self.constants.append(tensor(name, INT64, [] if scalar else [len(numbers)], raw))
            self.known[key] = name
        return self.known[key]

    def number(self, value):
        return self.floats([], [value])

    def weights(self, dims, bound):
        count = math.prod(dims)
        self.parameters += count
        one = self.random.random
        return self.floats(dims, ((one() * 2 - 1) * bound for _ in range(count)))

    def node(self, kind, inputs, outputs=1, name=None, **attributes):
        """Adds a node; gives its output's name, or a list of them. Keeps the channels of input 0."""
        inputs = [inputs] if isinstance(inputs, str) else list(inputs)
        number = len(self.nodes)
        names = [name] if name else ['t%d_%d' % (number, i) for i in range(outputs)]
        body = b''.join(field_bytes(1, i) for i in inputs)
        body += b''.join(field_bytes(2, n) for n in names)
        body += field_bytes(3, '%s_%d' % (kind, number)) + field_bytes(4, kind)
        body += b''.join(field_bytes(5, attribute(k, v)) for k, v in attributes.items())
        self.nodes.append(body)
        for n in names:
            self.channels[n] = self.channels.get(inputs[0]) if inputs else None
        return names[0] if len(names) == 1 else names

    def conv(self, x, out, kernel=1, stride=1, groups=1, act='silu', pad=None, bias=True, gain=1.5,
             name=None):
        """Convolution with 'same' padding and an activation: silu, relu, relu6, hswish or None."""
        inside = self.channels[x] // groups
        bound = gain * math.sqrt(3.0 / (inside * kernel * kernel)) * (1.0 if act else 0.6)
        pad = kernel // 2 if pad is None else pad
        inputs = [x, self.weights([out, inside, kernel, kernel], bound)]
        if bias:
            inputs.append(self.weights([out], 0.1))
        y = self.node('Conv', inputs, name=None if act else name, kernel_shape=[kernel] * 2,
                      strides=[stride] * 2, pads=[pad] * 4, dilations=[1, 1], group=groups)
        self.channels[y] = out
        return self.act(y, act, name)

    def act(self, x, kind, name=None):
        if kind is None:
            return x
        if kind == 'silu':
            return self.node('Mul', [x, self.node('Sigmoid', x)], name=name)
        if kind == 'relu6':
            return self.node('Clip', [x, self.number(0.0), self.number(6.0)], name=name)
        kinds = {'relu': 'Relu', 'hswish': 'HardSwish', 'hsigmoid': 'HardSigmoid'}
        if kind == 'hsigmoid':
            return self.node('HardSigmoid', x, name=name, alpha=1.0 / 6.0, beta=0.5)
        return self.node(kinds[kind], x, name=name)

    def concat(self, parts, axis=1, name=None):
        y = self.node('Concat', parts, name=name, axis=axis)
        if axis == 1 and all(self.channels.get(p) for p in parts):
            self.channels[y] = sum(self.channels[p] for p in parts)
        return y

    def split(self, x, sizes, axis=1):
        parts = self.node('Split', [x, self.ints(sizes)], outputs=len(sizes), axis=axis)
        if axis == 1:
            for part, size in zip(parts, sizes):
                self.channels[part] = size
        return parts

    def reshape(self, x, dims):
        y = self.node('Reshape', [x, self.ints(dims)])
        self.channels[y] = dims[1] if len(dims) > 1 else None
        return y

    def transpose(self, x, order):
        return self.node('Transpose', x, perm=list(order))

    def upsample(self, x):
        scales = self.floats([4], [1.0, 1.0, 2.0, 2.0])
        return self.node('Resize', [x, '', scales], mode='nearest',
                         coordinate_transformation_mode='asymmetric', nearest_mode='floor')

    def linear(self, x, inside, out, gain=1.0):
        """x (... x inside) times a weight, plus a bias."""
        w = self.weights([inside, out], gain * math.sqrt(3.0 / inside))
        return self.node('Add', [self.weights([out], 0.1), self.node('MatMul', [x, w])])

    def save(self, path):
        graph = b''.join(field_bytes(1, n) for n in self.nodes) + field_bytes(2, 'made')
        graph += b''.join(field_bytes(5, c) for c in self.constants)
        graph += b''.join(field_bytes(11, i) for i in self.inputs)
        graph += b''.join(field_bytes(12, o) for o in self.outputs)
        out = field_int(1, 8) + field_bytes(2, 'sightline make_model.py')
        out += field_bytes(8, field_bytes(1, '') + field_int(2, self.opset))
        out += field_bytes(7, graph)
        for key, value in self.metadata.items():
            out += field_bytes(14, field_bytes(1, key) + field_bytes(2, value))
        with open(path, 'wb') as file:
            file.write(out)
