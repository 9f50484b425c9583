"""Training pictures as cameras see them: other scales, cut-outs, mosaics, weather, night, bad compression."""
import math
import random

import cv2
import numpy as np

from pictures import Picture

GREY = 114
BOXES_MAX = 100      # of one training picture
VISIBLE_LEAST = 0.35  # a box of which less is left in the picture is neither a thing nor none
SIDE_LEAST_PX = 3.0


class Augmenter:
    """Makes training pictures of any size from a list of pictures. One per worker process."""

    def __init__(self, pictures: list, seed: int):
        self.pictures = pictures
        self.random = random.Random(seed)
        numbers = np.random.default_rng(seed)
        self.noise = [numbers.normal(0, 1, (640, 640, 3)).astype(np.float32) for _ in range(2)]
        self.rain = [self._rain() for _ in range(4)]

    def _rain(self) -> np.ndarray:
        layer = np.zeros((640, 640), np.uint8)
        slant, length = self.random.uniform(-0.4, 0.4), self.random.randint(8, 30)
        for _ in range(self.random.randint(150, 600)):
            x, y = self.random.randrange(640), self.random.randrange(640)
            cv2.line(layer, (x, y), (int(x + slant * length), y + length), self.random.randint(60, 180), 1)
        return cv2.blur(layer, (1, 3))[..., None].repeat(3, 2)

    def make(self, picture: Picture, width: int, height: int, mosaic: float, whole: float) -> tuple:
        """Pixels (height x width x 3, uint8) and boxes (n x 6: corners in pixels, class, weight). `mosaic`: how
        often four pictures make one; `whole`: of the others, how often the picture is there whole."""
        r = self.random
        canvas = np.full((height, width, 3), GREY, np.uint8)
        if r.random() < mosaic:
            x = int(width * r.uniform(0.3, 0.7))
            y = int(height * r.uniform(0.3, 0.7))
            places = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
            parts = [picture] + [r.choice(self.pictures) for _ in range(3)]
            r.shuffle(parts)
            scale, fill = (0.45, 1.4), 1.0
        else:
            places, parts = [(0, 0, width, height)], [picture]
            scale, fill = ((0.8, 1.15), 0.0) if r.random() < whole else ((0.6, 1.9), 1.0)
        boxes = np.concatenate([self._place(canvas, part, place, scale, fill, width, height)
                                for part, place in zip(parts, places)])
        if r.random() < 0.2:
            boxes = self._hide(canvas, boxes)
        canvas = self._look(canvas)
        if len(boxes) > BOXES_MAX:
            boxes = boxes[np.argsort(-boxes[:, 5])[:BOXES_MAX]]
        return canvas, boxes

    def _place(self, canvas: np.ndarray, picture: Picture, place: tuple, scale: tuple,
               fill: float, width: int, height: int) -> np.ndarray:
        """Draws the picture, scaled, shifted and perhaps mirrored, into a rectangle of the canvas. `fill`: 1 where
        it may be cut to fill the room."""
        r = self.random
        x0, y0, x1, y1 = place
        source_height, source_width = picture.pixels.shape[:2]
        room = (width, height) if r.random() < 0.7 else (x1 - x0, y1 - y0)
        fit = min(room[0] / source_width, room[1] / source_height)
        most = max(room[0] / source_width, room[1] / source_height)
        fit *= (most / fit) ** (fill * r.random())
        zoom = fit * math.exp(r.uniform(math.log(scale[0]), math.log(scale[1])))
        aspect = math.exp(r.uniform(-0.12, 0.12))
        sx, sy = zoom * aspect, zoom / aspect
        drawn_width, drawn_height = source_width * sx, source_height * sy
        left = self._shift(drawn_width, x1 - x0)
        top = self._shift(drawn_height, y1 - y0)
        mirror = r.random() < 0.5
        matrix = np.array([[sx, 0, left], [0, sy, top]], np.float32)
        if mirror:
            matrix[0] = [-sx, 0, left + drawn_width]
        pixels = picture.pixels
        if zoom < 0.5:  # halve first: the filter of warpAffine sees only four pixels
            pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            matrix[:, :2] *= 2
        cv2.warpAffine(pixels, matrix, (x1 - x0, y1 - y0), dst=canvas[y0:y1, x0:x1],
                       flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
                       borderValue=(GREY, GREY, GREY))
        if len(picture.boxes) == 0:
            return np.zeros((0, 6), np.float32)
        centre = picture.boxes[:, :2] * (drawn_width, drawn_height)
        half = picture.boxes[:, 2:] * (drawn_width / 2, drawn_height / 2)
        if mirror:
            centre[:, 0] = drawn_width - centre[:, 0]
        centre += (left, top)
        full = np.concatenate([centre - half, centre + half], 1)
        cut = np.clip(full, 0, (x1 - x0, y1 - y0, x1 - x0, y1 - y0))
        side = cut[:, 2:] - cut[:, :2]
        visible = np.prod(side, 1) / np.maximum(np.prod(2 * half, 1), 1e-6)
        keep = (side.min(1) >= 1) & (visible > 0.05)
        unclear = (visible < VISIBLE_LEAST) | (side.min(1) < SIDE_LEAST_PX)
        weight = np.where(unclear, 0, picture.weight)
        out = np.concatenate([cut + (x0, y0, x0, y0), picture.classes[:, None], weight[:, None]], 1)
        return out[keep].astype(np.float32)

    def _shift(self, drawn: float, room: int) -> float:
        """Where a side of `drawn` pixels begins in `room` pixels: anywhere within, or any cut-out."""
        return self.random.uniform(min(0.0, room - drawn), max(0.0, room - drawn))

    def _hide(self, canvas: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Pastes a piece of another picture over a part of some boxes."""
        r = self.random
        for box in boxes[boxes[:, 5] > 0][:12]:
            if r.random() > 0.4:
                continue
            x0, y0, x1, y1 = box[:4]
            w, h = (x1 - x0) * r.uniform(0.2, 0.6), (y1 - y0) * r.uniform(0.2, 0.5)
            x = int(x0 + r.random() * (x1 - x0 - w))
            y = int(y1 - h if r.random() < 0.5 else y0 + r.random() * (y1 - y0 - h))
            w, h = int(w), int(h)
            other = r.choice(self.pictures).pixels
            if w < 2 or h < 2 or w >= other.shape[1] or h >= other.shape[0]:
                continue
            u, v = r.randrange(other.shape[1] - w), r.randrange(other.shape[0] - h)
            canvas[y:y + h, x:x + w] = other[v:v + h, u:u + w]
        return boxes

    def _look(self, image: np.ndarray) -> np.ndarray:
        """Light, colour, weather and the camera's faults."""
        r = self.random
        chance = r.random()
        if chance < 0.10:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            image = cv2.merge([grey, grey, grey])
        elif chance < 0.45:
            grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            part = r.uniform(0.3, 1.6)
            image = cv2.addWeighted(image, part, grey, 1 - part, 0)
        chance = r.random()
        if chance < 0.06:
            image = cv2.GaussianBlur(image, (0, 0), r.uniform(0.5, 1.8))
        elif chance < 0.10:
            length = r.randint(2, 5)
            image = cv2.blur(image, (length, 1) if r.random() < 0.7 else (1, length))
        elif chance < 0.20:
            part = r.uniform(0.4, 0.8)
            small = cv2.resize(image, None, fx=part, fy=part, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
        if r.random() < 0.04:
            y, x = r.randrange(640 - image.shape[0] + 1), r.randrange(640 - image.shape[1] + 1)
            image = cv2.add(image, r.choice(self.rain)[y:y + image.shape[0], x:x + image.shape[1]])
        if r.random() < 0.8:
            image = cv2.LUT(image, self._light())
        if r.random() < 0.12:
            y, x = r.randrange(640 - image.shape[0] + 1), r.randrange(640 - image.shape[1] + 1)
            noise = r.choice(self.noise)[y:y + image.shape[0], x:x + image.shape[1]]
            image = cv2.add(image, noise * r.uniform(2, 14), dtype=cv2.CV_8U)
        if r.random() < 0.12:
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, r.randint(12, 60)])
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return image

    def _light(self) -> np.ndarray:
        """A table for each channel: exposure, contrast, colour cast; sometimes night."""
        r = self.random
        level = np.arange(256, dtype=np.float32) / 255
        night = r.random() < 0.08
        gamma = r.uniform(1.5, 2.8) if night else math.exp(r.uniform(-0.35, 0.35))
        gain = r.uniform(0.35, 0.9) if night else r.uniform(0.7, 1.3)
        offset = r.uniform(-0.08, 0.08)
        table = [np.clip((level ** gamma * gain * r.uniform(0.9, 1.1) + offset) * 255, 0, 255)
                 for _ in range(3)]
        return np.stack(table, 1).astype(np.uint8).reshape(1, 256, 3)
