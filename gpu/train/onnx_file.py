"""Writes the network as an ONNX file, without any library: the few messages of the format by hand."""
import torch

import net as network

VARINT, BYTES = 0, 2
FLOAT, INT64 = 1, 7
ATTRIBUTE_INT, ATTRIBUTE_STRING, ATTRIBUTE_INTS = 2, 3, 7
OPSET = 13
SIZE_KEY = "imgsz"  # height and width of an input that is left open
FIRST = "stem.0"  # the convolution that has the scale of the input


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | VARINT) + _varint(value)


def _bytes(field: int, value) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | BYTES) + _varint(len(value)) + value


def _attribute(name: str, value) -> bytes:
    text = _bytes(1, name)
    if isinstance(value, str):
        return _bytes(5, text + _bytes(4, value) + _number(20, ATTRIBUTE_STRING))
    if isinstance(value, int):
        return _bytes(5, text + _number(3, value) + _number(20, ATTRIBUTE_INT))
    return _bytes(5, text + b"".join(_number(8, v) for v in value) + _number(20, ATTRIBUTE_INTS))


def _value(field: int, name: str, dimensions: tuple) -> bytes:
    """A dimension that is a text is left open, under that name."""
    shape = b"".join(_bytes(1, _bytes(2, d) if isinstance(d, str) else _number(1, d)) for d in dimensions)
    tensor = _bytes(1, _number(1, FLOAT) + _bytes(2, shape))
    return _bytes(field, _bytes(1, name) + _bytes(2, tensor))


def _fields(data: bytes):
    """The fields of a message: number, where it begins, where its content begins, where it ends."""
    at = 0
    while at < len(data):
        begin, key, shift = at, 0, 0
        numbers = []
        while len(numbers) < 2:
            byte = data[at]
            at += 1
            key |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                numbers.append(key)
                key = shift = 0
                if len(numbers) == 1 and numbers[0] & 7 not in (VARINT, BYTES):
                    raise ValueError("not a field of an ONNX model")
        content = at
        if numbers[0] & 7 == BYTES:
            at += numbers[1]
        yield numbers[0] >> 3, begin, content, at


def _name_of(value: bytes) -> str:
    return next(value[content:end].decode() for number, _, content, end in _fields(value) if number == 1)


def _varint_at(data: bytes, at: int) -> int:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        if data[at] < 128:
            return value
        at += 1


def _graph_of(model: bytes) -> bytes:
    return next(model[content:end] for number, _, content, end in _fields(model) if number == 7)


def output_names(model: bytes) -> list:
    graph = _graph_of(model)
    return [_name_of(graph[content:end]) for number, _, content, end in _fields(graph) if number == 12]


def output_width(model: bytes) -> int:
    """The last dimension of the first output."""
    piece = _graph_of(model)
    for number in (12, 2, 1, 2):  # graph's output: its type, tensor type and shape
        piece = next(piece[c:e] for n, _, c, e in _fields(piece) if n == number)
    last = [piece[c:e] for n, _, c, e in _fields(piece) if n == 1][-1]
    return _varint_at(last, 1)


def _entry(entry: bytes) -> list:
    return [entry[c:e].decode() for _, _, c, e in _fields(entry)]


def metadata(model: bytes) -> dict:
    entries = [model[content:end] for number, _, content, end in _fields(model) if number == 14]
    return {key: value for key, value in map(_entry, entries)}


def weights(model: bytes) -> dict:
    """The weights of a file that this module wrote, by name."""
    found = {}
    graph = _graph_of(model)
    for number, _, content, end in _fields(graph):
        if number != 5:
            continue
        tensor = graph[content:end]
        shape, name, data = [], "", b""
        for part, begin, start, stop in _fields(tensor):
            if part == 1:
                shape.append(_varint_at(tensor, begin + 1))
            elif part == 8:
                name = tensor[start:stop].decode()
            elif part == 9:
                data = tensor[start:stop]
        found[name] = torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(shape)
    return found


def _picture(width: int, height: int, fixed: bool) -> bytes:
    return _value(11, "picture", (1, 3, height, width) if fixed else (1, 3, "height", "width"))


def _cells(stride: int, numbers: int, width: int, height: int, fixed: bool) -> bytes:
    size = (height // stride, width // stride) if fixed else (f"rows{stride}", f"columns{stride}")
    return _value(12, f"cells{stride}", (1, numbers, *size))


def _size_entry(width: int, height: int) -> bytes:
    return _bytes(14, _bytes(1, SIZE_KEY) + _bytes(2, f"[{height}, {width}]"))


def sized(model: bytes, width: int, height: int, fixed: bool) -> bytes:
    """A file that this module wrote, for another size, open or fixed. All else stays, what later programs
    have put into the metadata too."""
    numbers = network.SIDES + len(metadata(model)["names"].split(","))
    outputs = b"".join(_cells(stride, numbers, width, height, fixed) for stride in network.STRIDES)
    out = b""
    for number, begin, content, end in _fields(model):
        if number == 7:
            pieces = [model[content + start:content + stop] for part, start, _, stop in _fields(model[content:end])
                      if part not in (11, 12, 13)]
            out += _bytes(7, b"".join(pieces) + _picture(width, height, fixed) + outputs)
        elif number != 14 or _entry(model[content:end])[0] != SIZE_KEY:
            out += model[begin:end]
    return out if fixed else out + _size_entry(width, height)


def resized(model: bytes, width: int, height: int, outputs: list) -> bytes:
    """The same convolutional network for another size of pictures. `outputs`: the new dimensions of each
    output. Its weights and reshapes must not depend on the size."""
    out = b""
    for number, begin, content, end in _fields(model):
        if number != 7:
            out += model[begin:end]
            continue
        graph, shapes = b"", iter(outputs)
        for part, start, inner, stop in _fields(model[content:end]):
            piece = model[content + inner:content + stop]
            if part == 11:
                graph += _value(11, _name_of(piece), (1, 3, height, width))
            elif part == 12:
                graph += _value(12, _name_of(piece), next(shapes))
            elif part != 13:  # shapes between the nodes, for the old size
                graph += model[content + start:content + stop]
        out += _bytes(7, graph)
    return out


class Writer:
    """Collects nodes and weights; every node gives one value, whose name it returns."""

    def __init__(self, net: network.Net):
        self.nodes, self.weights, self.count = [], [], 0
        self.names = {module: name for name, module in net.named_modules()}

    def weight(self, name: str, tensor: torch.Tensor) -> str:
        data = tensor.detach().float().contiguous().numpy().tobytes()
        dims = b"".join(_number(1, d) for d in tensor.shape)
        self.weights.append(_bytes(5, dims + _number(2, FLOAT) + _bytes(8, name) + _bytes(9, data)))
        return name

    def node(self, kind: str, inputs: list, output: str = "", **attributes) -> str:
        output = output or f"{kind.lower()}_{self.count}"
        self.count += 1
        text = b"".join(_bytes(1, i) for i in inputs) + _bytes(2, output)
        text += _bytes(3, output) + _bytes(4, kind)
        text += b"".join(_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(_bytes(1, text))
        return output

    def conv(self, x: str, name: str, weight: torch.Tensor, bias: torch.Tensor, stride: int,
             output: str = "") -> str:
        kernel = weight.shape[2]
        return self.node("Conv", [x, self.weight(name + "_weight", weight), self.weight(name + "_bias", bias)],
                         output, kernel_shape=(kernel, kernel), strides=(stride, stride),
                         pads=(kernel // 2,) * 4)

    def module(self, x: str, conv: network.Conv) -> str:
        name = self.names[conv]
        weight, bias = conv.folded()
        if name == FIRST:
            weight = weight * network.INPUT_SCALE
        x = self.conv(x, name, weight, bias, conv.conv.stride[0])
        return self.node("Relu", [x]) if conv.relu else x

    def pools(self, x: str, block: network.Pool) -> str:
        parts = [self.module(x, block.narrow)]
        for _ in range(network.POOLS):
            parts.append(self.node("MaxPool", [parts[-1]], kernel_shape=(network.POOL_SIDE,) * 2, strides=(1, 1),
                                   pads=(network.POOL_SIDE // 2,) * 4))
        return self.node("Concat", parts, axis=1)


def write(net: network.Net, path: str, width: int, height: int, fixed: bool = False) -> None:
    """For any multiples of 32, with this size as the usual one; `fixed`: for this size alone."""
    w = Writer(net)
    # Zeros around the picture mean grey once the mean is taken off: so the program takes it off, and the
    # first convolution's weights have the scale alone.
    x = "picture"
    for conv in net.stem:
        x = w.module(x, conv)
    maps = []
    for down, blocks in zip(net.down, net.blocks):
        x = w.module(x, down)
        for block in blocks:
            inner = w.pools(x, block) if isinstance(block, network.Pool) else w.module(w.module(x, block.narrow), block.middle)
            x = w.node("Relu", [w.node("Add", [w.module(inner, block.widen), x])])
        maps.append(x)
    scales = w.weight("upsample", torch.tensor([1.0, 1.0, 2.0, 2.0]))

    def join(side: network.Conv, at: str, up: network.Conv, above: str) -> str:
        larger = w.node("Resize", [w.module(above, up), "", scales], mode="nearest",
                        coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        return w.node("Relu", [w.node("Add", [w.module(at, side), larger])])

    p32 = w.module(maps[2], net.side32)
    p16 = w.module(join(net.side16, maps[1], net.up32, p32), net.mix16)
    p8 = w.module(join(net.side8, maps[0], net.up16, p16), net.mix8)
    outputs = b""
    for stride, p, tower, out in zip(network.STRIDES, (p8, p16, p32), net.towers, net.outs):
        name = f"cells{stride}"
        w.conv(w.module(p, tower), w.names[out], out.weight, out.bias, 1, name)
        outputs += _cells(stride, out.out_channels, width, height, fixed)
    graph = b"".join(w.nodes) + _bytes(2, "sightline") + b"".join(w.weights)
    graph += _picture(width, height, fixed) + outputs
    described = {"names": ",".join(network.CLASSES), "shape": net.shape}
    model = _number(1, 8) + _bytes(2, "sightline") + _bytes(7, graph)
    model += _bytes(8, _bytes(1, "") + _number(2, OPSET))
    for key, value in described.items():
        model += _bytes(14, _bytes(1, key) + _bytes(2, value))
    if not fixed:
        model += _size_entry(width, height)
    with open(path, "wb") as stream:
        stream.write(model)
