"""Runs a detector over pictures for the evaluation: a checkpoint with PyTorch, or an ONNX file in the engine."""
import cv2
import numpy as np
import torch

import dense
import net as network
from engine import Engine
from measure import Found, suppress
from pictures import CLASS_COUNT, FAMILY, GROUP, GROUP_NAMES

LEAST_SCORE = 1e-5  # the area under the curve has a tail: a score of little promise is right now and then
CELLS_MOST = 2000


def fitting(width: int, height: int, area: float) -> tuple:
    """The input size, in multiples of 32 and of about this area, in which the picture is largest."""
    best, size = 0.0, (32, 32)
    for w in range(32, 1025, 32):
        h = int(area * 1.04 / w) // 32 * 32
        if h < 32:
            break
        scale = min(w / width, h / height)
        if scale > best * 1.001:
            best, size = scale, (w, h)
    return size


def letterbox(pixels: np.ndarray, size: tuple) -> tuple:
    """The picture in the top left corner of an input of this size, and how much it was scaled."""
    height, width = pixels.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    new = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.full((size[1], size[0], 3), int(network.INPUT_MEAN), np.uint8)
    canvas[:new[1], :new[0]] = cv2.resize(
        pixels, new, interpolation=cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA)
    return canvas, new


def decode(flat: np.ndarray, points: np.ndarray, strides: np.ndarray, new: tuple, best: bool = False) -> Found:
    """From the numbers of all cells to what is found."""
    scores = 1 / (1 + np.exp(-np.clip(flat[:, network.SIDES:], -30, 30)))
    side = np.exp(np.clip(flat[:, :network.SIDES], -6, 6)) * strides[:, None]
    corners = np.concatenate([points - side[:, :2], points + side[:, 2:]], 1)
    return settle(corners, scores, new, best)


def settle(corners: np.ndarray, scores: np.ndarray, new: tuple, best: bool = False) -> Found:
    """What is left of all cells' boxes: of each group of classes for itself, as average precision asks for it;
    `best`: of each thing the one class that is surest, as the server counts it."""
    if best:
        kind, suppressed_with = scores.argmax(1), FAMILY
        cell = np.arange(len(scores))
    else:
        members = [np.flatnonzero(GROUP[:CLASS_COUNT] == group) for group in range(len(GROUP_NAMES))]
        kind = np.concatenate([own[scores[:, own].argmax(1)] for own in members])
        suppressed_with = GROUP
        cell = np.tile(np.arange(len(scores)), len(GROUP_NAMES))
    score = scores[cell, kind]
    keep = np.nonzero(score > LEAST_SCORE)[0]
    if len(keep) > CELLS_MOST:
        keep = keep[np.argsort(-score[keep])[:CELLS_MOST]]
    boxes = np.clip(corners[cell[keep]] / (new * 2), 0, 1)
    kept = suppress(boxes, score[keep], suppressed_with[kind[keep]])
    return Found(boxes[kept], score[keep][kept], kind[keep][kept])


@torch.no_grad()
def by_net(net: torch.nn.Module, pictures: list, area: float, fixed: tuple = None, best: bool = False) -> dict:
    """`fixed`: one input size for all pictures, instead of the fitting one of this area. `best`: see settle()."""
    net.eval()
    out, sizes = {}, {}
    for picture in pictures:
        height, width = picture.pixels.shape[:2]
        sizes.setdefault(fixed or fitting(width, height, area), []).append(picture)
    for size, members in sizes.items():
        points, strides = (t.numpy() for t in network.cells(size[1], size[0]))
        for start in range(0, len(members), 16):
            part = members[start:start + 16]
            boxed = [letterbox(p.pixels, size) for p in part]
            x = torch.from_numpy(np.stack([c for c, _ in boxed])).permute(0, 3, 1, 2).float()
            x = ((x - network.INPUT_MEAN) * network.INPUT_SCALE).contiguous(memory_format=torch.channels_last)
            flat = network.flatten(net(x)).numpy()
            for picture, numbers, (_, new) in zip(part, flat, boxed):
                out[picture.name] = decode(numbers, points, strides, new, best)
    return out


def by_engine(engine: Engine, pictures: list, area: float, fixed: tuple = None) -> dict:
    """Any model in the engine: ours, or a YOLOX. `area` and `fixed` as above; neither: the size that the server
    would take."""
    out = {}
    for picture in pictures:
        height, width = picture.pixels.shape[:2]
        size = fixed or (fitting(width, height, area) if area else engine.shape(width, height))
        boxed, new = letterbox(picture.pixels, size)
        if engine.ours:
            tensor = boxed.transpose(2, 0, 1).astype(np.float32) - network.INPUT_MEAN
            numbers, places, strides = engine.ask(tensor)
            out[picture.name] = decode(numbers, (places + 0.5) * strides, strides[:, 0], new)
            continue
        score, corners = dense.read(*engine.ask(boxed[..., ::-1].transpose(2, 0, 1)))
        out[picture.name] = settle(corners, score, new)
    return out
