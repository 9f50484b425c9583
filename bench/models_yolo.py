"""Networks of the YOLO line, as their papers and documents describe them, with random weights."""

COCO = ('person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,'
        'stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,'
        'backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,'
        'baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,'
        'fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,'
        'cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,'
        'cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,'
        'hair drier,toothbrush').split(',')

BINS = 16  # of the distribution over each side of a box


def class_names(model, classes):
    names = [COCO[i] if i < len(COCO) else 'class%d' % i for i in range(classes)]
    model.metadata['names'] = '{%s}' % ', '.join('%d: %r' % pair for pair in enumerate(names))


def bottleneck(m, x, out, shortcut, kernels=(3, 3), expansion=1.0):
    y = m.conv(x, int(out * expansion), kernels[0])
    y = m.conv(y, out, kernels[1])
    return m.node('Add', [x, y]) if shortcut and m.channels[x] == out else y


def c2f(m, x, out, count, shortcut, inner=None, expansion=0.5):
    """Two halves; one goes through `count` blocks, and the result of each is kept."""
    half = int(out * expansion)
    parts = list(m.split(m.conv(x, 2 * half), [half, half]))
    for _ in range(count):
        block = inner or (lambda m, x, c: bottleneck(m, x, c, shortcut))
        parts.append(block(m, parts[-1], half))
    return m.conv(m.concat(parts), out)


def c3(m, x, out, count, shortcut, kernels=(1, 3)):
    half = out // 2
    a = m.conv(x, half)
    for _ in range(count):
        a = bottleneck(m, a, half, shortcut, kernels)
    return m.conv(m.concat([a, m.conv(x, half)]), out)


def sppf(m, x, out):
    x = m.conv(x, m.channels[x] // 2)
    parts = [x]
    for _ in range(3):
        parts.append(m.node('MaxPool', parts[-1], kernel_shape=[5, 5], strides=[1, 1],
                            pads=[2, 2, 2, 2]))
    return m.conv(m.concat(parts), out)


def anchor_points(m, size, strides):
    """Centres of all cells, in cells, as 1x2xN, and the stride of each, as 1xN."""
    xs, ys, steps = [], [], []
    for stride in strides:
        side = size // stride
        for i in range(side * side):
            xs.append(i % side + 0.5)
            ys.append(i // side + 0.5)
            steps.append(float(stride))
    return m.floats([1, 2, len(xs)], xs + ys), m.floats([1, len(xs)], steps), len(xs)


def box_decode(m, boxes, cells, points, corners):
    """Distances as the mean of a distribution over 16 bins, then boxes of 1x4xN, in cells."""
    x = m.transpose(m.reshape(boxes, [1, 4, BINS, cells]), [0, 2, 1, 3])
    m.channels[x] = BINS
    x = m.node('Softmax', x, axis=1)
    bins = m.floats([1, BINS, 1, 1], [float(i) for i in range(BINS)])
    x = m.reshape(m.node('Conv', [x, bins], kernel_shape=[1, 1]), [1, 4, cells])
    left, right = m.split(x, [2, 2])
    first = m.node('Sub', [points, left])
    last = m.node('Add', [points, right])
    if corners:
        return m.concat([first, last])
    centre = m.node('Div', [m.node('Add', [first, last]), m.number(2.0)])
    return m.concat([centre, m.node('Sub', [last, first])])


def detect_convs(m, levels, classes, light):
    """What each level says of its cells: 4 x 16 bins and the classes, joined over all levels."""
    box_width = max(16, m.channels[levels[0]] // 4, BINS * 4)
    class_width = max(m.channels[levels[0]], min(classes, 100))
    out = []
    for x in levels:
        box = m.conv(m.conv(x, box_width, 3), box_width, 3)
        box = m.conv(box, 4 * BINS, act=None)
        if light:
            width = m.channels[x]
            y = m.conv(m.conv(x, width, 3, groups=width), class_width)
            y = m.conv(m.conv(y, class_width, 3, groups=class_width), class_width)
        else:
            y = m.conv(m.conv(x, class_width, 3), class_width, 3)
        y = m.conv(y, classes, act=None)
        out.append(m.reshape(m.concat([box, y]), [1, 4 * BINS + classes, -1]))
    return m.node('Concat', out, axis=2)


def detect(m, levels, size, classes, light=False):
    points, steps, cells = anchor_points(m, size, (8, 16, 32))
    joined = detect_convs(m, levels, classes, light)
    boxes, scores = m.split(joined, [4 * BINS, classes])
    boxes = m.node('Mul', [box_decode(m, boxes, cells, points, False), steps])
    m.concat([boxes, m.node('Sigmoid', scores)], name='output0')
    m.output('output0', 3)


def yolov8(m, size, classes=80, width=16, head=detect):
    """The smallest of the v8 line where width is 16: 8.7 GFLOP at 640."""
    w = width
    x = m.conv(m.input('images', [1, 3, size, size]), w, 3, 2)
    x = c2f(m, m.conv(x, 2 * w, 3, 2), 2 * w, 1, True)
    p3 = c2f(m, m.conv(x, 4 * w, 3, 2), 4 * w, 2, True)
    p4 = c2f(m, m.conv(p3, 8 * w, 3, 2), 8 * w, 2, True)
    x = c2f(m, m.conv(p4, 16 * w, 3, 2), 16 * w, 1, True)
    p5 = sppf(m, x, 16 * w)
    n4 = c2f(m, m.concat([m.upsample(p5), p4]), 8 * w, 1, False)
    n3 = c2f(m, m.concat([m.upsample(n4), p3]), 4 * w, 1, False)
    n4 = c2f(m, m.concat([m.conv(n3, 4 * w, 3, 2), n4]), 8 * w, 1, False)
    n5 = c2f(m, m.concat([m.conv(n4, 8 * w, 3, 2), p5]), 16 * w, 1, False)
    class_names(m, classes)
    head(m, [n3, n4, n5], size, classes)


def attention(m, x, side):
    """Multi-head attention over the cells of a picture, with a depthwise position encoding."""
    width = m.channels[x]
    heads = max(1, width // 64)
    each = width // heads
    key = each // 2
    cells = side * side
    qkv = m.conv(x, width + 2 * key * heads, act=None)
    q, k, v = m.split(m.reshape(qkv, [1, heads, 2 * key + each, cells]), [key, key, each], axis=2)
    scores = m.node('MatMul', [m.transpose(q, [0, 1, 3, 2]), k])
    scores = m.node('Softmax', m.node('Mul', [scores, m.number(key ** -0.5)]), axis=-1)
    mixed = m.node('MatMul', [v, m.transpose(scores, [0, 1, 3, 2])])
    mixed = m.reshape(mixed, [1, width, side, side])
    place = m.conv(m.reshape(v, [1, width, side, side]), width, 3, groups=width, act=None)
    return m.conv(m.node('Add', [mixed, place]), width, act=None)


def c2psa(m, x, count, side):
    half = m.channels[x] // 2
    a, b = m.split(m.conv(x, 2 * half), [half, half])
    for _ in range(count):
        b = m.node('Add', [b, attention(m, b, side)])
        b = m.node('Add', [b, m.conv(m.conv(b, 2 * half), half, act=None)])
    return m.conv(m.concat([a, b]), 2 * half)


def yolo11(m, size, classes=80, width=16):
    w = width

    def small(m, x, c):
        return bottleneck(m, x, c, True, expansion=0.5)

    def large(m, x, c):
        return c3(m, x, c, 2, True, kernels=(3, 3))

    def c3k2(x, out, inner, expansion=0.5):
        return c2f(m, x, out, 1, True, inner, expansion)

    x = m.conv(m.input('images', [1, 3, size, size]), w, 3, 2)
    x = c3k2(m.conv(x, 2 * w, 3, 2), 4 * w, small, 0.25)
    p3 = c3k2(m.conv(x, 4 * w, 3, 2), 8 * w, small, 0.25)
    p4 = c3k2(m.conv(p3, 8 * w, 3, 2), 8 * w, large)
    x = c3k2(m.conv(p4, 16 * w, 3, 2), 16 * w, large)
    p5 = c2psa(m, sppf(m, x, 16 * w), 1, size // 32)
    n4 = c3k2(m.concat([m.upsample(p5), p4]), 8 * w, small)
    n3 = c3k2(m.concat([m.upsample(n4), p3]), 4 * w, small)
    n4 = c3k2(m.concat([m.conv(n3, 4 * w, 3, 2), n4]), 8 * w, small)
    n5 = c3k2(m.concat([m.conv(n4, 8 * w, 3, 2), p5]), 16 * w, large)
    class_names(m, classes)
    detect(m, [n3, n4, n5], size, classes, light=True)


ANCHORS = (((10, 13), (16, 30), (33, 23)), ((30, 61), (62, 45), (59, 119)),
           ((116, 90), (156, 198), (373, 326)))


def detect_v5(m, x, side, stride, anchors, classes):
    """Each cell answers for three anchors: centre, size, objectness and classes."""
    row = 5 + classes
    y = m.reshape(m.conv(x, 3 * row, act=None), [1, 3, row, side, side])
    y = m.node('Sigmoid', m.transpose(y, [0, 1, 3, 4, 2]))
    centre, extent, rest = m.split(y, [2, 2, 1 + classes], axis=4)
    grid = [g - 0.5 for _ in range(3) for i in range(side) for k in range(side) for g in (k, i)]
    sizes = [float(v) for a in anchors for _ in range(side * side) for v in a]
    grid = m.floats([1, 3, side, side, 2], grid)
    sizes = m.floats([1, 3, side, side, 2], sizes)
    centre = m.node('Add', [m.node('Mul', [centre, m.number(2.0)]), grid])
    centre = m.node('Mul', [centre, m.number(float(stride))])
    extent = m.node('Pow', [m.node('Mul', [extent, m.number(2.0)]), m.number(2.0)])
    extent = m.node('Mul', [extent, sizes])
    return m.reshape(m.node('Concat', [centre, extent, rest], axis=4), [1, -1, row])


def yolov5(m, size, classes=80, width=16):
    w = width
    x = m.conv(m.input('images', [1, 3, size, size]), w, 6, 2, pad=2)
    x = c3(m, m.conv(x, 2 * w, 3, 2), 2 * w, 1, True)
    p3 = c3(m, m.conv(x, 4 * w, 3, 2), 4 * w, 2, True)
    p4 = c3(m, m.conv(p3, 8 * w, 3, 2), 8 * w, 3, True)
    x = sppf(m, c3(m, m.conv(p4, 16 * w, 3, 2), 16 * w, 1, True), 16 * w)
    a = m.conv(x, 8 * w)
    x = c3(m, m.concat([m.upsample(a), p4]), 8 * w, 1, False)
    b = m.conv(x, 4 * w)
    n3 = c3(m, m.concat([m.upsample(b), p3]), 4 * w, 1, False)
    n4 = c3(m, m.concat([m.conv(n3, 4 * w, 3, 2), b]), 8 * w, 1, False)
    n5 = c3(m, m.concat([m.conv(n4, 8 * w, 3, 2), a]), 16 * w, 1, False)
    class_names(m, classes)
    rows = [detect_v5(m, x, size // s, s, ANCHORS[i], classes)
            for i, (x, s) in enumerate(((n3, 8), (n4, 16), (n5, 32)))]
    m.node('Concat', rows, name='output0', axis=1)
    m.output('output0', 3)


def detect_end_to_end(m, levels, size, classes):
    """One-to-one heads: the best 300 cells, then the best 300 of their classes, no suppression."""
    points, steps, cells = anchor_points(m, size, (8, 16, 32))
    best = min(300, cells)
    joined = detect_convs(m, levels, classes, True)
    boxes, scores = m.split(joined, [4 * BINS, classes])
    boxes = m.node('Mul', [box_decode(m, boxes, cells, points, True), steps])
    rows = m.transpose(m.concat([boxes, m.node('Sigmoid', scores)]), [0, 2, 1])
    boxes, scores = m.split(rows, [4, classes], axis=2)
    top = m.node('ReduceMax', scores, axes=[-1], keepdims=0)
    _, index = m.node('TopK', [top, m.ints(best)], outputs=2, axis=-1)
    index = m.node('Unsqueeze', [index, m.ints([-1])])
    boxes = m.node('GatherElements', [boxes, m.node('Tile', [index, m.ints([1, 1, 4])])], axis=1)
    scores = m.node('GatherElements', [scores, m.node('Tile', [index, m.ints([1, 1, classes])])],
                    axis=1)
    scores, index = m.node('TopK', [m.node('Flatten', scores), m.ints(best)], outputs=2, axis=-1)
    kind = m.node('Mod', [index, m.ints(classes, scalar=True)])
    row = m.node('Div', [index, m.ints(classes, scalar=True)])
    row = m.node('Tile', [m.node('Unsqueeze', [row, m.ints([-1])]), m.ints([1, 1, 4])])
    boxes = m.node('GatherElements', [boxes, row], axis=1)
    scores = m.node('Unsqueeze', [scores, m.ints([-1])])
    kind = m.node('Cast', m.node('Unsqueeze', [kind, m.ints([-1])]), to=1)
    m.node('Concat', [boxes, scores, kind], name='output0', axis=2)
    m.output('output0', 3)


def yolov10(m, size, classes=80, width=16):
    yolov8(m, size, classes, width, head=detect_end_to_end)
