"""Teacher boxes: what a larger (or slower) detector finds in every picture, seen whole, mirrored and in
four overlapping tiles, so that small things are found that one look misses.

The teacher is any YOLOX-like ONNX file (one output 1 x cells x (5 + classes), COCO's 80 classes); it runs in the engine."""
import cv2
import numpy as np

import dense
from engine import Engine
from pictures import FAMILY

TILE = 0.62          # side of a tile, as a part of the picture's
EDGE_PX = 3          # a box that touches a tile's inner edge is cut
TILE_SIDE_MAX = 0.5  # larger things are seen better in the whole picture
MERGE_IOU = 0.55
LEAST = 0.05
WRITTEN = 0.1        # scores that are worth a line
SAME_IOU = 0.6
GREY = 114


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Overlap of every box of `a` (n x 4, corners) with every box of `b`."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    side = np.clip(high - low, 0, None)
    both = side[..., 0] * side[..., 1]
    area_a = np.prod(a[:, 2:] - a[:, :2], axis=1)
    area_b = np.prod(b[:, 2:] - b[:, :2], axis=1)
    return both / (area_a[:, None] + area_b[None] - both + 1e-9)


class Teacher:
    """A YOLOX-like network that looks at whole pictures."""

    def __init__(self, model: str, side_px: int = 416, least: float = LEAST):
        self.engine, self.side_px, self.least = Engine(model), side_px, least

    def look(self, picture: np.ndarray) -> np.ndarray:
        """Boxes (n x 6: corners in the picture's pixels, score, class) after NMS."""
        height, width = picture.shape[:2]
        scale = self.side_px / max(height, width)
        new = (max(1, round(width * scale)), max(1, round(height * scale)))
        tensor = np.full((self.side_px, self.side_px, 3), GREY, np.float32)
        tensor[:new[1], :new[0]] = cv2.resize(picture, new, interpolation=cv2.INTER_LINEAR)
        score, box = dense.read(*self.engine.ask(tensor[..., ::-1].transpose(2, 0, 1)))
        top = score.max(1)
        keep = top > self.least
        box = np.clip(box[keep] * ((width / new[0], height / new[1]) * 2), 0, (width, height) * 2)
        return suppress(np.concatenate([box, top[keep, None], score.argmax(1)[keep, None]], 1), SAME_IOU)


def suppress(found: np.ndarray, limit: float) -> np.ndarray:
    """Non-maximum suppression over all classes of a group together, best first."""
    found = found[np.argsort(-found[:, 4])]
    group = FAMILY[found[:, 5].astype(int)]
    overlap = iou_matrix(found[:, :4], found[:, :4])
    keep = np.ones(len(found), bool)
    for i in range(len(found)):
        if keep[i]:
            keep[i + 1:] &= ~((overlap[i, i + 1:] > limit) & (group[i + 1:] == group[i]))
    return found[keep]


def boxes_of(teacher: Teacher, picture: np.ndarray) -> np.ndarray:
    """Boxes of all views, merged: n x 6 as in Teacher.look(), relative to the picture's sides."""
    height, width = picture.shape[:2]
    views = [(teacher.look(picture), 1.0)]
    mirrored = teacher.look(picture[:, ::-1])
    mirrored[:, [0, 2]] = width - mirrored[:, [2, 0]]
    views.append((mirrored, 1.0))
    tile_w, tile_h = int(width * TILE), int(height * TILE)
    for y in (0, height - tile_h):
        for x in (0, width - tile_w):
            found = teacher.look(picture[y:y + tile_h, x:x + tile_w])
            inside = np.ones(len(found), bool)
            if x > 0:
                inside &= found[:, 0] > EDGE_PX
            else:
                inside &= found[:, 2] < tile_w - EDGE_PX
            if y > 0:
                inside &= found[:, 1] > EDGE_PX
            else:
                inside &= found[:, 3] < tile_h - EDGE_PX
            inside &= (found[:, 2] - found[:, 0] < TILE_SIDE_MAX * tile_w) & \
                      (found[:, 3] - found[:, 1] < TILE_SIDE_MAX * tile_h)
            found = found[inside]
            found[:, [0, 2]] += x
            found[:, [1, 3]] += y
            views.append((found, 0.9))
    merged = merge(views)
    merged[:, [0, 2]] /= width
    merged[:, [1, 3]] /= height
    return merged


def merge(views: list) -> np.ndarray:
    """Boxes of several views: those of one thing become their mean, weighted by score. The score is
    the best, less when the whole picture (or its mirror image) alone saw it once."""
    every = np.concatenate([np.concatenate([found[:, :4], found[:, 4:5] * weight, found[:, 5:6]], 1)
                            for found, weight in views])
    every = every[np.argsort(-every[:, 4])]
    group = FAMILY[every[:, 5].astype(int)]
    taken = np.zeros(len(every), bool)
    out = []
    overlap = iou_matrix(every[:, :4], every[:, :4])
    for i in range(len(every)):
        if taken[i]:
            continue
        same = ~taken & (overlap[i] > MERGE_IOU) & (group == group[i])
        taken |= same
        weight = every[same, 4]
        box = (every[same, :4] * weight[:, None]).sum(0) / weight.sum()
        score = weight.max() * (1.0 if same.sum() > 1 else 0.85)
        out.append([*box, score, every[i, 5]])
    found = np.array(out, np.float64).reshape(-1, 6)
    return suppress(found, SAME_IOU) if len(found) else found


def line_of(name: str, found: np.ndarray) -> str:
    text = ";".join(f"{int(k)} {s:.2f} {(x0 + x1) / 2:.4f} {(y0 + y1) / 2:.4f} {x1 - x0:.4f} {y1 - y0:.4f}"
                    for x0, y0, x1, y1, s, k in found if s >= WRITTEN)
    return f"{name}\t{text}\n"
