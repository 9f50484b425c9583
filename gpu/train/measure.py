"""Average precision: the same code for every detector, over the classes that a set labels."""
from dataclasses import dataclass

import numpy as np

from pictures import CLASS_COUNT, FAMILY, GROUP, GROUP_NAMES, VEHICLE

OVERLAPS = np.arange(0.5, 0.96, 0.05)
# Sides of the square root of a box's area when the picture's longest side is 640 pixels.
SIZES = {"small": (0.0, 32.0), "medium": (32.0, 96.0), "large": (96.0, 1e9)}
LONGEST_PX = 640.0
CLASS_NAMES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")


@dataclass
class Found:
    """What a detector found in one picture: corners relative to its sides, score, class 0..5."""
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def suppress(boxes: np.ndarray, scores: np.ndarray, kinds: np.ndarray, limit: float = 0.5, most: int = 400):
    """Places of what is left, best first, when boxes of one kind that overlap more are one thing."""
    order = np.argsort(-scores, kind="stable")
    keep = []
    area = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    while len(order) and len(keep) < most:
        first, rest = order[0], order[1:]
        keep.append(first)
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        both = np.clip(high - low, 0, None).prod(1)
        same = both > limit * (area[first] + area[rest] - both)
        order = rest[~(same & (kinds[rest] == kinds[first]))]
    return np.array(keep, int)


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    return both / (np.prod(a[:, 2:] - a[:, :2], 1)[:, None] + np.prod(b[:, 2:] - b[:, :2], 1)[None] - both + 1e-12)


def _match(found: np.ndarray, scores: np.ndarray, truth: np.ndarray, counts: np.ndarray,
           limit: float) -> tuple:
    """For each found box, best first: 1 right, 0 wrong, -1 left out (matches a box out of the range)."""
    order = np.argsort(-scores, kind="stable")
    result = np.zeros(len(found), int)
    if len(truth) == 0:
        return order, result
    overlap = _overlaps(found, truth)
    free = np.ones(len(truth), bool)
    for at, i in enumerate(order):
        candidates = np.where(free & (overlap[i] >= limit), overlap[i], 0)
        inside = np.where(counts, candidates, 0)
        best = inside.argmax() if inside.max() > 0 else candidates.argmax()
        if candidates[best] > 0:
            free[best] = False
            result[at] = 1 if counts[best] else -1
    return order, result


def _as_unstated(found: Found) -> Found:
    """Vehicles of whatever type are one kind, each once."""
    classes = np.where(FAMILY[found.classes] == FAMILY[VEHICLE], VEHICLE, found.classes)
    kept = suppress(found.boxes, found.scores, classes)
    return Found(found.boxes[kept], found.scores[kept], classes[kept])


def judged(pictures: list, found: dict, kind_of, kinds: int, limit: float, size: tuple = (0, 1e9)) -> tuple:
    """Of each kind what was found, (score, 1 right or 0 wrong), and the number of true boxes. `kind_of`: from
    classes to kinds."""
    lines = [[] for _ in range(kinds)]
    right = [0] * kinds
    for picture in pictures:
        mine = found[picture.name]
        if kinds == len(GROUP_NAMES) and (picture.classes == VEHICLE).any():
            mine = _as_unstated(mine)
        truth = np.concatenate([picture.boxes[:, :2] - picture.boxes[:, 2:] / 2,
                                picture.boxes[:, :2] + picture.boxes[:, 2:] / 2], 1)
        height, width = picture.pixels.shape[:2]
        scale = LONGEST_PX / max(height, width)
        side = np.sqrt(np.prod(picture.boxes[:, 2:], 1) * width * height) * scale
        labelled = {kind_of[k] for k in picture.labelled}
        true_kind, found_kind = kind_of[picture.classes], kind_of[mine.classes]
        for kind in range(kinds):
            if kind not in labelled:
                continue
            t, f = true_kind == kind, found_kind == kind
            counts = (side[t] >= size[0]) & (side[t] < size[1])
            right[kind] += int(counts.sum())
            order, result = _match(mine.boxes[f], mine.scores[f], truth[t], counts, limit)
            boxes, scores = mine.boxes[f][order], mine.scores[f][order]
            sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], 1) * width * height) * scale
            result = np.where((result == 0) & ((sides < size[0]) | (sides >= size[1])), -1, result)
            lines[kind] += [(s, r) for s, r in zip(scores, result) if r >= 0]
    return lines, right


def average_precision(pictures: list, found: dict, kind_of, kinds: int, limit: float, size: tuple = (0, 1e9)):
    """AP and number of true boxes of each kind."""
    lines, right = judged(pictures, found, kind_of, kinds, limit, size)
    return [_area(line, count) for line, count in zip(lines, right)], right


def _area(line: list, count: int) -> float:
    """Area under the curve of precision over recall, precision made falling."""
    if count == 0:
        return float("nan")
    if not line:
        return 0.0
    line.sort(key=lambda pair: -pair[0])
    hits = np.cumsum([r for _, r in line])
    precision = hits / np.arange(1, len(line) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0], hits / count])) * precision))


def logistic(line: list, steps: int = 50) -> tuple:
    """Scale and shift of the logit of a score with which it says how often such a box is right (Newton's method)."""
    score, right = np.array(line).T
    logit = np.log(score / (1 - score))
    scale, shift = 1.0, 0.0
    for _ in range(steps):
        said = 1 / (1 + np.exp(-(scale * logit + shift)))
        weight = said * (1 - said) + 1e-9
        slope = np.array([((said - right) * logit).sum(), (said - right).sum()])
        mixed = (weight * logit).sum()
        scale, shift = (scale, shift) - np.linalg.solve([[(weight * logit ** 2).sum(), mixed], [mixed, weight.sum()]], slope)
    return float(scale), float(shift)


CLASS_OF = np.array(list(range(CLASS_COUNT)) + [CLASS_COUNT])  # an unstated vehicle is of no class


def groups(pictures: list, found: dict, limit: float = 0.5, size: tuple = (0, 1e9)) -> tuple:
    return average_precision(pictures, found, GROUP, len(GROUP_NAMES), limit, size)


def classes(pictures: list, found: dict, limit: float = 0.5) -> tuple:
    """Without the pictures whose vehicles are of unstated type."""
    stated = [p for p in pictures if not (p.classes == VEHICLE).any()]
    return average_precision(stated, found, CLASS_OF, CLASS_COUNT, limit)
