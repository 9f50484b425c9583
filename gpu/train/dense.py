"""What a teacher says of every cell of a training picture, as it is after augmentation: the network learns
the same answer to the same question. The teacher (YOLOX) has the same cells as our network."""
import numpy as np

from engine import Engine

PLACES = (0, 1, 2, 3, 5, 7)  # person, bicycle, car, motorcycle, bus, truck among COCO's 80
FIRST_CLASS = 5
FLOAT16_MOST = 6e4


def read(out: np.ndarray, places: np.ndarray, strides: np.ndarray) -> tuple:
    """Scores of the six classes and corners in pixels of every cell of a YOLOX network."""
    score = out[:, 4:5] * out[:, [FIRST_CLASS + place for place in PLACES]]
    centre = (out[:, :2] + places) * strides
    half = np.exp(np.clip(out[:, 2:4], -8, 8)) * strides / 2
    return score, np.concatenate([centre - half, centre + half], 1)


class DenseTeacher:
    """One per worker process."""

    def __init__(self, model: str):
        self.engine = Engine(model)

    def look(self, pixels: np.ndarray) -> np.ndarray:
        """Cells x 10: scores of the six classes, then the box's corners in pixels; float16."""
        score, corners = read(*self.engine.ask(pixels[..., ::-1].transpose(2, 0, 1)))
        told = np.concatenate([np.clip(np.nan_to_num(score), 0, 1), np.nan_to_num(corners)], 1)
        return np.clip(told, -FLOAT16_MOST, FLOAT16_MOST).astype(np.float16)
