"""Batches of training pictures, endless, the same for the same seed, worker and first number."""
import cv2
import numpy as np
import torch

from augment import Augmenter
from dense import DenseTeacher
from pictures import CLASS_COUNT

# Width x height of about equal area: of cameras, and squares, in which things are larger.
SHAPES = ((448, 256), (448, 256), (384, 288), (352, 320), (352, 320))
SMALL_SHAPES = ((352, 192), (288, 224), (256, 256), (288, 288))
LARGE_SHAPES = ((512, 288), (448, 320), (384, 384), (384, 384))
SMALL_UNTIL = 0.08  # parts of the schedule
LARGE_FROM = 0.60
MOSAIC_UNTIL = 0.65  # from then on pictures whole, as the network will see them, in place of mosaics
MOSAIC, WHOLE = 0.5, 0.5
TOLD = ((0.30, 0.35), (0.58, 0.6), (0.80, 0.8), (1.0, 1.0))  # until when, of how many batches the teacher speaks
SEED_OF_SEED, SEED_OF_STEP = 1000003, 97


class Batches(torch.utils.data.IterableDataset):
    """`progress`: a shared tensor of one number, 0 to 1, or `pictures_in_all` when that is known before: then
    the batches do not depend on time. `teacher`: an ONNX file, or empty."""

    def __init__(self, pictures: list, weights: np.ndarray, batch: int, seed: int, first: int, progress,
                 teacher: str = "", pictures_in_all: float = 0):
        self.pictures_in_all = pictures_in_all
        self.pictures, self.weights, self.batch = pictures, weights, batch
        self.seed, self.first, self.progress, self.teacher = seed, first, progress, teacher

    def __iter__(self):
        cv2.setNumThreads(0)
        worker = torch.utils.data.get_worker_info()
        seed = self.seed * SEED_OF_SEED + self.first * SEED_OF_STEP + (worker.id if worker else 0)
        numbers = np.random.default_rng(seed)
        augmenter = Augmenter(self.pictures, seed)
        teacher = DenseTeacher(self.teacher) if self.teacher else None
        order = []
        made = worker.id if worker else 0
        while True:
            part = self._part(made)
            made += worker.num_workers if worker else 1
            shapes = SMALL_SHAPES if part < SMALL_UNTIL else SHAPES if part < LARGE_FROM else LARGE_SHAPES
            width, height = shapes[numbers.integers(len(shapes))]
            mosaic, whole = (MOSAIC, 0.0) if part < MOSAIC_UNTIL else (0.0, WHOLE)
            told_share = next((share for until, share in TOLD if part < until), TOLD[-1][1])
            asked = teacher is not None and numbers.random() < told_share
            pixels, targets, labelled, told = [], [], [], []
            for _ in range(self.batch):
                if not order:
                    order = list(numbers.choice(len(self.pictures), len(self.pictures), p=self.weights))
                picture = self.pictures[order.pop()]
                image, boxes = augmenter.make(picture, width, height, mosaic, whole)
                pixels.append(image)
                targets.append(torch.from_numpy(boxes))
                labelled.append([float(k in picture.labelled) for k in range(CLASS_COUNT)])
                if asked:
                    told.append(teacher.look(image))
            yield (torch.from_numpy(np.stack(pixels)), targets, torch.tensor(labelled),
                   torch.from_numpy(np.stack(told)) if asked else None)

    def _part(self, made: int) -> float:
        if self.pictures_in_all:
            return (self.first + made) * self.batch / self.pictures_in_all
        return float(self.progress[0])


def sampling(pictures: list) -> np.ndarray:
    """How often each picture is drawn: large sets of much the same pictures less, the rare more."""
    factor = {"highway_v40": 0.7, "openimages_person": 2.2, "construction_plain": 1.3, "manaus_v4": 0.9,
              "manaus_v5": 0.9, "capston2_person": 1.8, "topview_vehicle": 0.8}
    weights = np.array([factor.get(p.set_name, 1.0) for p in pictures])
    return weights / weights.sum()
