"""Networks beside the YOLO line, as their papers describe them, with random weights: classifiers,
single-shot detectors as TensorFlow exports them, and transformer detectors."""

import math

from models_yolo import class_names


# ---- classifiers ----

def classify(m, x, classes):
    features = m.channels[x]
    x = m.node('Flatten', m.node('GlobalAveragePool', x))
    weights = m.weights([classes, features], math.sqrt(3.0 / features))
    m.node('Gemm', [x, weights, m.weights([classes], 0.1)], name='logits', transB=1)
    m.output('logits', 2)


def resnet18(m, size, classes=1000, width=64):
    """Batch normalisation stays in the file, as an exporter in training mode leaves it."""
    def conv(x, out, kernel, stride=1, act='relu'):
        x = m.conv(x, out, kernel, stride, act=None, bias=False, gain=2.0)
        ones = [1.0 + 0.1 * m.random.random() for _ in range(out)]
        parts = [m.floats([out], ones), m.weights([out], 0.1), m.weights([out], 0.1),
                 m.floats([out], ones)]
        return m.act(m.node('BatchNormalization', [x] + parts, epsilon=1e-5), act)

    x = conv(m.input('input', ['batch', 3, size, size]), width, 7, 2)
    x = m.node('MaxPool', x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage in range(4):
        for block in range(2):
            out = width << stage
            stride = 2 if stage > 0 and block == 0 else 1
            y = conv(conv(x, out, 3, stride), out, 3, 1, None)
            if stride > 1 or m.channels[x] != out:
                x = conv(x, out, 1, stride, None)
            x = m.act(m.node('Add', [y, x]), 'relu')
    classify(m, x, classes)


def squeeze_excite(m, x):
    """Each channel times what two small layers make of all channels' means."""
    width = m.channels[x]
    gate = m.node('ReduceMean', x, axes=[2, 3], keepdims=1)
    gate = m.conv(gate, max(8, width // 4), act='relu')
    return m.node('Mul', [x, m.conv(gate, width, act='hsigmoid')])


def hard_swish_parts(m, x):
    """x * clip(x + 3, 0, 6) / 6, as older exporters write it."""
    gate = m.act(m.node('Add', [x, m.number(3.0)]), 'relu6')
    return m.node('Div', [m.node('Mul', [x, gate]), m.number(6.0)])


def mobilenet_v3(m, size, classes=1000, width=16):
    """The small one: kernel, expanded, out, squeeze, activation, stride."""
    x = m.input('input', [1, 3, size, size])
    x = hard_swish_parts(m, m.conv(x, width, 3, 2, act=None, gain=2.5))
    rows = ((3, 16, 16, True, 'relu', 2), (3, 72, 24, False, 'relu', 2),
            (3, 88, 24, False, 'relu', 1), (5, 96, 40, True, 'hswish', 2),
            (5, 240, 40, True, 'hswish', 1), (5, 240, 40, True, 'hswish', 1),
            (5, 120, 48, True, 'hswish', 1), (5, 144, 48, True, 'hswish', 1),
            (5, 288, 96, True, 'hswish', 2), (5, 576, 96, True, 'hswish', 1))
    for kernel, wide, out, squeeze, act, stride in rows:
        wide, out = wide * width // 16, out * width // 16
        y = m.conv(x, wide, act=act)
        y = m.conv(y, wide, kernel, stride, groups=wide, act=act)
        if squeeze:
            y = squeeze_excite(m, y)
        y = m.conv(y, out, act=None, gain=3.0)
        x = m.node('Add', [x, y]) if stride == 1 and m.channels[x] == out else y
    classify(m, m.conv(x, 576 * width // 16, act='hswish'), classes)


# ---- SSD as TensorFlow's exporter writes it ----

def ssd_mobilenet(m, size, classes=90, width=32):
    """Bytes N x H x W x 3 in; boxes and scores of all anchors out, before suppression."""
    x = m.input('image', [1, size, size, 3])
    x = m.node('Sub', [m.node('Mul', [x, m.number(2.0 / 255.0)]), m.number(1.0)])
    x = m.transpose(x, [0, 3, 1, 2])
    m.channels[x] = 3
    x = m.conv(x, width, 3, 2, act='relu6')
    taps = []
    for out, stride in ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1), (16, 1), (16, 1),
                        (16, 1), (16, 1), (32, 2), (32, 1)):
        if out == 32 and stride == 2:
            taps.append(x)
        x = m.conv(x, m.channels[x], 3, stride, groups=m.channels[x], act='relu6', gain=2.0)
        x = m.conv(x, out * width, act='relu6')
    taps.append(x)
    for out in (16, 8, 8, 4):
        x = m.conv(m.conv(x, out * width // 2, act='relu6'), out * width, 3, 2, act='relu6')
        taps.append(x)
    boxes, scores, anchors = [], [], []
    side = -(-size // 16)
    for level, tap in enumerate(taps):
        each = 3 if level == 0 else 6
        for out, kind in ((4, boxes), (classes + 1, scores)):
            y = m.transpose(m.conv(tap, each * out, act=None), [0, 2, 3, 1])
            # the batch from the shape of the tensor, as exporters do
            batch = m.node('Slice', [m.node('Shape', y), m.ints([0]), m.ints([1]), m.ints([0])])
            batch = m.node('Cast', m.node('Cast', batch, to=6), to=7)
            shape = m.node('Concat', [batch, m.ints([-1]), m.ints([out])], axis=0)
            kind.append(m.node('Reshape', [y, shape]))
        scale = 0.2 + 0.15 * level
        for i in range(side * side):
            for k in range(each):
                ratio = (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0, 1.0)[k]
                anchors.append(((i // side + 0.5) / side, (i % side + 0.5) / side,
                                scale / math.sqrt(ratio), scale * math.sqrt(ratio)))
        side = (side + 1) // 2
    joined = m.node('Squeeze', [m.node('Concat', boxes, axis=1), m.ints([0])])
    anchor = m.floats([len(anchors), 4], [v for a in anchors for v in a])
    dy, dx, dh, dw = m.node('Split', [m.node('Transpose', joined, perm=[1, 0])], outputs=4, axis=0)
    ay, ax, ah, aw = m.node('Split', [m.node('Transpose', anchor, perm=[1, 0])], outputs=4, axis=0)

    def centre(delta, at, extent):
        moved = m.node('Mul', [m.node('Div', [delta, m.number(10.0)]), extent])
        return m.node('Add', [moved, at])

    def extent(delta, base):
        return m.node('Mul', [m.node('Exp', m.node('Div', [delta, m.number(5.0)])), base])

    cy, cx, h, w = centre(dy, ay, ah), centre(dx, ax, aw), extent(dh, ah), extent(dw, aw)
    half = m.number(2.0)
    h, w = m.node('Div', [h, half]), m.node('Div', [w, half])
    corners = [m.node('Sub', [cy, h]), m.node('Sub', [cx, w]), m.node('Add', [cy, h]),
               m.node('Add', [cx, w])]
    out = m.node('Transpose', m.node('Concat', corners, axis=0), perm=[1, 0])
    out = m.node('Min', [m.node('Max', [out, m.number(0.0)]), m.number(1.0)])
    m.node('Unsqueeze', [out, m.ints([0])], name='boxes')
    y = m.node('Sigmoid', m.node('Concat', scores, axis=1))
    m.node('Slice', [y, m.ints([1]), m.ints([1 << 31]), m.ints([2])], name='scores')
    m.output('boxes', 3)
    m.output('scores', 3)


# ---- a transformer detector ----

def layer_norm(m, x, width, parts=False):
    """One operator, or the primitive ones of older exports."""
    scale = m.floats([width], [1.0 + 0.1 * m.random.random() for _ in range(width)])
    shift = m.weights([width], 0.1)
    if not parts:
        return m.node('LayerNormalization', [x, scale, shift], axis=-1, epsilon=1e-5)
    d = m.node('Sub', [x, m.node('ReduceMean', x, axes=[-1], keepdims=1)])
    variance = m.node('ReduceMean', m.node('Pow', [d, m.number(2.0)]), axes=[-1], keepdims=1)
    spread = m.node('Sqrt', m.node('Add', [variance, m.number(1e-5)]))
    return m.node('Add', [m.node('Mul', [m.node('Div', [d, spread]), scale]), shift])


def gelu_parts(m, x):
    """x * (1 + erf(x / sqrt(2))) / 2 as exported before it was an operator."""
    erf = m.node('Erf', m.node('Div', [x, m.number(math.sqrt(2.0))]))
    return m.node('Mul', [m.node('Mul', [x, m.node('Add', [erf, m.number(1.0)])]), m.number(0.5)])


def heads_first(m, x, count, heads, each):
    return m.transpose(m.reshape(x, [1, count, heads, each]), [0, 2, 1, 3])


def self_attention(m, x, count, width, heads):
    each = width // heads
    q, k, v = [heads_first(m, m.linear(x, width, width), count, heads, each) for _ in range(3)]
    scores = m.node('MatMul', [q, m.transpose(k, [0, 1, 3, 2])])
    scores = m.node('Softmax', m.node('Div', [scores, m.number(math.sqrt(each))]), axis=-1)
    mixed = m.transpose(m.node('MatMul', [scores, v]), [0, 2, 1, 3])
    return m.linear(m.reshape(mixed, [1, count, width]), width, width)


def feed_forward(m, x, width, wide, gelu=False):
    y = m.linear(x, width, wide)
    y = gelu_parts(m, y) if gelu else m.node('Relu', y)
    return m.linear(y, wide, width)


def position_encoding(m, side, width):
    """Sines and cosines of the place, computed by nodes from constants alone."""
    line = m.node('Cast', m.node('Range', [m.ints(0, True), m.ints(side, True), m.ints(1, True)]),
                  to=1)
    ys = m.node('Expand', [m.node('Unsqueeze', [line, m.ints([1])]), m.ints([side, side])])
    xs = m.node('Expand', [m.node('Unsqueeze', [line, m.ints([0])]), m.ints([side, side])])
    omega = m.floats([1, width // 4], [10000.0 ** (-i / (width // 4)) for i in range(width // 4)])
    parts = []
    for place in (xs, ys):
        angle = m.node('MatMul', [m.node('Reshape', [place, m.ints([-1, 1])]), omega])
        parts += [m.node('Sin', angle), m.node('Cos', angle)]
    return m.node('Unsqueeze', [m.node('Concat', parts, axis=1), m.ints([0])])


def sampled_attention(m, x, reference, memory, queries, width, heads, sides, points=4):
    """Each query looks at a few places of each level, which it computes from its own box."""
    each, levels = width // heads, len(sides)
    total = levels * points
    offsets = m.linear(x, width, heads * total * 2, gain=0.5)
    offsets = m.reshape(offsets, [1, queries, heads, levels, points, 2])
    weights = m.reshape(m.linear(x, width, heads * total), [1, queries, heads, total])
    weights = m.node('Softmax', weights, axis=-1)
    centre, extent = m.node('Split', [reference, m.ints([2, 2])], outputs=2, axis=-1)
    centre = m.reshape(centre, [1, queries, 1, 1, 1, 2])
    extent = m.reshape(extent, [1, queries, 1, 1, 1, 2])
    moved = m.node('Mul', [m.node('Mul', [m.node('Div', [offsets, m.number(float(points))]),
                                          extent]), m.number(0.5)])
    places = m.node('Add', [centre, moved])
    grids = m.node('Sub', [m.node('Mul', [places, m.number(2.0)]), m.number(1.0)])
    value = m.linear(memory, width, width)
    values = m.node('Split', [value, m.ints([s * s for s in sides])], outputs=levels, axis=1)
    sampled = []
    for level, side in enumerate(sides):
        v = m.transpose(m.reshape(values[level], [1, side * side, width]), [0, 2, 1])
        v = m.reshape(v, [heads, each, side, side])
        g = m.node('Gather', [grids, m.ints(level, True)], axis=3)
        g = m.reshape(m.transpose(g, [0, 2, 1, 3, 4]), [heads, queries, points, 2])
        sampled.append(m.node('GridSample', [v, g], mode='bilinear', padding_mode='zeros',
                              align_corners=0))
    sampled = m.node('Concat', sampled, axis=-1)  # heads, each, queries, levels * points
    weights = m.reshape(m.transpose(weights, [0, 2, 1, 3]), [heads, 1, queries, total])
    mixed = m.node('ReduceSum', [m.node('Mul', [sampled, weights]), m.ints([-1])], keepdims=0)
    mixed = m.transpose(m.reshape(mixed, [1, width, queries]), [0, 2, 1])
    return m.linear(mixed, width, width)


def inverse_sigmoid(m, x):
    low = m.node('Clip', [x, m.number(0.0), m.number(1.0)])
    high = m.node('Clip', [m.node('Sub', [m.number(1.0), low]), m.number(1e-5)])
    low = m.node('Clip', [low, m.number(1e-5)])
    return m.node('Log', m.node('Div', [low, high]))


def mlp(m, x, width, out, layers=3):
    for _ in range(layers - 1):
        x = m.node('Relu', m.linear(x, width, width))
    return m.linear(x, width, out)


def rtdetr_encoder(m, size, width, hidden):
    """A small convolutional trunk; the deepest level goes through one transformer layer."""
    x = m.conv(m.conv(m.input('images', [1, 3, size, size]), width, 3, 2, act='relu', gain=2.0),
               2 * width, 3, 2, act='relu', gain=2.0)
    levels = []
    for stage in range(3):
        x = m.conv(x, (4 << stage) * width, 3, 2, act='relu', gain=2.0)
        y = m.conv(m.conv(x, m.channels[x], 3, act='relu'), m.channels[x], 3, act=None)
        x = m.act(m.node('Add', [x, y]), 'relu')
        levels.append(m.conv(x, hidden, act=None, gain=2.0))
    side = size // 32
    flat = m.transpose(m.reshape(levels[2], [1, hidden, side * side]), [0, 2, 1])
    place = position_encoding(m, side, hidden)
    y = self_attention(m, m.node('Add', [flat, place]), side * side, hidden, 8)
    flat = layer_norm(m, m.node('Add', [flat, y]), hidden, parts=True)
    y = feed_forward(m, flat, hidden, 4 * hidden, gelu=True)
    flat = layer_norm(m, m.node('Add', [flat, y]), hidden, parts=True)
    levels[2] = m.reshape(m.transpose(flat, [0, 2, 1]), [1, hidden, side, side])
    up = m.conv(m.concat([m.upsample(levels[2]), levels[1]]), hidden, 3)
    down = m.conv(m.concat([m.upsample(up), levels[0]]), hidden, 3)
    return [down, up, levels[2]]


def rtdetr_queries(m, size, classes, width, hidden, queries):
    """What a decoder begins with: queries, their boxes, all cells, and how many of them there are."""
    sides = [size // 8, size // 16, size // 32]
    levels = rtdetr_encoder(m, size, width, hidden)
    cells = sum(s * s for s in sides)
    queries = min(queries, cells)
    flat = [m.reshape(x, [1, hidden, s * s]) for x, s in zip(levels, sides)]
    memory = m.transpose(m.node('Concat', flat, axis=2), [0, 2, 1])
    anchors = []
    for side, scale in zip(sides, (0.05, 0.1, 0.2)):
        for i in range(side * side):
            for value in ((i % side + 0.5) / side, (i // side + 0.5) / side, scale, scale):
                anchors.append(math.log(value / (1.0 - value)))
    inside = m.floats([1, cells, 1], [float(i % 17 != 0) for i in range(cells)])
    kept = m.node('Where', [m.node('Equal', [inside, m.number(0.0)]), m.number(0.0), memory])
    output = layer_norm(m, m.linear(kept, hidden, hidden), hidden)
    scores = m.linear(output, hidden, classes)
    boxes = m.node('Add', [mlp(m, output, hidden, 4), m.floats([1, cells, 4], anchors)])
    best = m.node('ReduceMax', scores, axes=[-1], keepdims=0)
    _, index = m.node('TopK', [best, m.ints([queries])], outputs=2, axis=1)
    row = m.node('Unsqueeze', [index, m.ints([-1])])
    reference = m.node('GatherElements', [boxes, m.node('Tile', [row, m.ints([1, 1, 4])])], axis=1)
    reference = m.node('Sigmoid', reference)
    return m.node('GatherND', [output, row], batch_dims=1), reference, memory, queries, sides


def detr_outputs(m, boxes, logits, classes):
    class_names(m, classes)
    m.node('Identity', boxes, name='pred_boxes')
    m.node('Identity', logits, name='pred_logits')
    m.output('pred_logits', 3)
    m.output('pred_boxes', 3)


def rtdetr(m, size, classes=80, width=16, hidden=64, queries=300):
    """The best places of an encoder become queries; two decoder layers refine their boxes."""
    heads = 8
    x, reference, memory, queries, sides = rtdetr_queries(m, size, classes, width, hidden, queries)
    for _ in range(2):
        place = m.linear(m.node('Relu', m.linear(reference, 4, 2 * hidden)), 2 * hidden, hidden)
        y = self_attention(m, m.node('Add', [x, place]), queries, hidden, heads)
        x = layer_norm(m, m.node('Add', [x, y]), hidden)
        y = sampled_attention(m, m.node('Add', [x, place]), reference, memory, queries, hidden,
                              heads, sides)
        x = layer_norm(m, m.node('Add', [x, y]), hidden)
        x = layer_norm(m, m.node('Add', [x, feed_forward(m, x, hidden, 4 * hidden)]), hidden)
        delta = mlp(m, x, hidden, 4)
        reference = m.node('Sigmoid', m.node('Add', [delta, inverse_sigmoid(m, reference)]))
    detr_outputs(m, reference, m.linear(x, hidden, classes), classes)


# ---- the same with distributions instead of distances ----

SIDE_BINS = 33  # of the distribution over how far each side of a box lies


def gateway(m, x, y, hidden):
    """How much of each of two, for every number."""
    gates = m.node('Sigmoid', m.linear(m.node('Concat', [x, y], axis=-1), 2 * hidden, 2 * hidden))
    first, second = m.node('Split', [gates, m.ints([hidden, hidden])], outputs=2, axis=-1)
    parts = [m.node('Mul', [first, x]), m.node('Mul', [second, y])]
    return layer_norm(m, m.node('Add', parts), hidden)


def moved_box(m, box, distances, scale=4.0):
    """Each side of a box of centre and size goes as far as is said, in parts of that size."""
    cx, cy, w, h = m.node('Split', [box, m.ints([1, 1, 1, 1])], outputs=4, axis=-1)
    sides = m.node('Split', [distances, m.ints([1, 1, 1, 1])], outputs=4, axis=-1)

    def reach(extent, side):
        part = m.node('Div', [extent, m.number(scale)])
        return m.node('Mul', [m.node('Add', [side, m.number(scale / 2)]), part])

    x0, y0 = m.node('Sub', [cx, reach(w, sides[0])]), m.node('Sub', [cy, reach(h, sides[1])])
    x1, y1 = m.node('Add', [cx, reach(w, sides[2])]), m.node('Add', [cy, reach(h, sides[3])])
    half = m.number(0.5)
    out = [m.node('Mul', [m.node('Add', [x0, x1]), half]),
           m.node('Mul', [m.node('Add', [y0, y1]), half]),
           m.node('Sub', [x1, x0]), m.node('Sub', [y1, y0])]
    return m.node('Concat', out, axis=-1)


def dfine(m, size, classes=80, width=16, hidden=64, queries=300):
    """Layers refine distributions over each side; how sharp those are moves the scores."""
    heads = 8
    x, first, memory, queries, sides = rtdetr_queries(m, size, classes, width, hidden, queries)
    place = m.linear(m.node('Relu', m.linear(first, 4, 2 * hidden)), 2 * hidden, hidden)
    steps = [math.copysign(abs(i / 16.0 - 1.0) ** 1.5, i - 16) for i in range(SIDE_BINS)]
    steps = m.floats([SIDE_BINS, 1], steps)
    reference, corners = first, None
    for _ in range(2):
        y = self_attention(m, m.node('Add', [x, place]), queries, hidden, heads)
        x = layer_norm(m, m.node('Add', [x, y]), hidden)
        y = sampled_attention(m, m.node('Add', [x, place]), reference, memory, queries, hidden,
                              heads, sides)
        x = gateway(m, x, y, hidden)
        x = layer_norm(m, m.node('Add', [x, feed_forward(m, x, hidden, 4 * hidden)]), hidden)
        more = mlp(m, x, hidden, 4 * SIDE_BINS)
        corners = more if corners is None else m.node('Add', [more, corners])
        share = m.node('Softmax', m.reshape(corners, [1, queries, 4, SIDE_BINS]), axis=-1)
        distances = m.reshape(m.node('MatMul', [share, steps]), [1, queries, 4])
        reference = moved_box(m, first, distances)
    sharp, _ = m.node('TopK', [share, m.ints([4])], outputs=2, axis=-1)
    mean = m.node('ReduceMean', sharp, axes=[-1], keepdims=1)
    quality = m.reshape(m.node('Concat', [sharp, mean], axis=-1), [1, queries, 20])
    quality = m.linear(m.node('Relu', m.linear(quality, 20, hidden)), hidden, 1)
    logits = m.node('Add', [m.linear(x, hidden, classes), quality])
    detr_outputs(m, reference, logits, classes)
