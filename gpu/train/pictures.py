"""The labelled pictures: reading them, who is held out, and what each set's labels say and leave open."""
import hashlib
import os
import re
from dataclasses import dataclass, field

import cv2
import numpy as np

PERSON, BICYCLE, CAR, MOTORCYCLE, BUS, TRUCK, VEHICLE = range(7)
CLASS_COUNT = 6
GROUP = np.array([0, 1, 2, 1, 3, 3, 2])  # person / two-wheeler / car / bus and truck
GROUP_NAMES = ("person", "two-wheeler", "car", "bus+truck")
FAMILY = np.array([0, 1, 2, 1, 2, 2, 2])  # classes that are taken for one another: person, two, four wheels

HELD_OUT_SET = "coco256"
HELD_OUT_EVERY = 20

ALL = frozenset(range(CLASS_COUNT))
WHEELS = ALL - {PERSON}
FOUR_WHEELS = frozenset({CAR, BUS, TRUCK})

# The classes that a set labels; whatever else is seen in its pictures is told by the teacher.
LABELLED = {
    "capston2_person": frozenset({PERSON}), "openimages_person": frozenset({PERSON}),
    "construction_plain": frozenset({PERSON}), "highway_v40": ALL, "topview_vehicle": FOUR_WHEELS,
    "atl_car": WHEELS, "rembang_cctv": WHEELS, "openimages_vehicles": FOUR_WHEELS,
    "manaus_v4": ALL, "manaus_v5": ALL, "modes_of_transport": frozenset({CAR, MOTORCYCLE, BUS}),
    "coco256": ALL,
}
# The pictures of cyclists in the manaus sets label only the cyclists.
CYCLISTS = re.compile(r"^[a-z]{6}\d+_jpg$")
# Labelled, but with gaps: there the teacher adds what it is sure of.
GAPS = {"capston2_person": frozenset({PERSON}), "topview_vehicle": FOUR_WHEELS,
        "openimages_person": frozenset({PERSON}), "openimages_vehicles": FOUR_WHEELS}

SURE, SURE_IN_GAP, DOUBT = 0.45, 0.6, 0.2
SAME_IOU = 0.45
LONGEST_PX = 960


@dataclass
class Picture:
    """`boxes`: n x 4 centre and size, relative; `classes`: 0..6; `weight`: 1 for a label, the
    teacher's score for its boxes, 0 where nothing may be learnt (neither a thing nor none)."""
    name: str
    set_name: str
    source: str
    boxes: np.ndarray
    classes: np.ndarray
    weight: np.ndarray
    labelled: frozenset = ALL
    pixels: np.ndarray = field(default=None, repr=False)

    def held_out(self) -> bool:
        number = int(hashlib.md5(self.source.encode()).hexdigest(), 16)
        return self.set_name == HELD_OUT_SET or number % HELD_OUT_EVERY == 0


def read_teacher(path: str) -> dict:
    """Lines "picture <tab> class score cx cy w h;...": an n x 6 array per picture."""
    found = {}
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("#"):
                continue
            name, _, text = line.rstrip("\n").partition("\t")
            rows = [[float(v) for v in part.split()] for part in text.split(";") if part]
            found[name] = np.array(rows, np.float32).reshape(-1, 6)
    return found


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Overlap of boxes given by centre and size: len(a) x len(b)."""
    low = np.maximum(a[:, None, :2] - a[:, None, 2:] / 2, b[None, :, :2] - b[None, :, 2:] / 2)
    high = np.minimum(a[:, None, :2] + a[:, None, 2:] / 2, b[None, :, :2] + b[None, :, 2:] / 2)
    side = np.clip(high - low, 0, None)
    both = side[..., 0] * side[..., 1]
    return both / (np.prod(a[:, 2:], 1)[:, None] + np.prod(b[:, 2:], 1)[None] - both + 1e-9)


def labelled_classes(set_name: str, source: str) -> frozenset:
    if set_name.startswith("manaus") and CYCLISTS.match(source):
        return frozenset({BICYCLE})
    return LABELLED.get(set_name, ALL)


def add_teacher(picture: Picture, found: np.ndarray) -> None:
    """Boxes for what the set does not label; and a type for vehicles of unstated type."""
    if len(found) == 0:
        return
    kinds = found[:, 0].astype(int)
    overlap = overlaps(found[:, 2:6], picture.boxes) if len(picture.boxes) else np.zeros((len(found), 1))
    family = FAMILY[picture.classes] if len(picture.boxes) else np.array([-1])
    gaps = GAPS.get(picture.set_name, frozenset())
    boxes, classes, weight = [], [], []
    for i, kind in enumerate(kinds):
        if ((overlap[i] > SAME_IOU) & (family == FAMILY[kind])).any():
            continue
        if kind in picture.labelled and kind not in gaps:
            continue
        sure = SURE_IN_GAP if kind in gaps else SURE
        score = found[i, 1]
        if score < DOUBT:
            continue
        boxes.append(found[i, 2:6])
        classes.append(kind)
        weight.append(score if score >= sure else 0.0)
    if boxes:
        picture.boxes = np.concatenate([picture.boxes, np.array(boxes, np.float32)])
        picture.classes = np.concatenate([picture.classes, np.array(classes, int)])
        picture.weight = np.concatenate([picture.weight, np.array(weight, np.float32)])


def read_labels(folder: str, teacher_path: str = "") -> list:
    """All pictures of `folder`/labels.tsv, without their pixels. Without `teacher_path` the boxes are
    the labels alone."""
    teacher = read_teacher(teacher_path) if teacher_path else {}
    pictures = []
    with open(os.path.join(folder, "labels.tsv"), encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("#"):
                continue
            name, set_name, source, _, text = line.rstrip("\n").split("\t")
            rows = [[float(v) for v in part.split()] for part in text.split(";") if part]
            table = np.array(rows, np.float32).reshape(-1, 5)
            picture = Picture(name, set_name, source, table[:, 1:], table[:, 0].astype(int),
                              np.ones(len(table), np.float32), labelled_classes(set_name, source))
            if name in teacher:
                add_teacher(picture, teacher[name])
            pictures.append(picture)
    return pictures


PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def list_pictures(folder: str) -> list:
    """Names of the pictures: those of labels.tsv, or every picture below the folder."""
    table = os.path.join(folder, "labels.tsv")
    if os.path.exists(table):
        with open(table, encoding="utf-8") as stream:
            return [line.split("\t")[0] for line in stream if not line.startswith("#")]
    found = []
    for path, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(path, name), folder) for name in names
                  if name.lower().endswith(PICTURE_ENDINGS)]
    return sorted(found)


def read_folder(folder: str, teacher_path: str = "", partial: bool = False) -> list:
    """A customer's pictures. Beside NAME.jpg (or in a folder "labels" in place of "images") may lie
    NAME.txt with lines "class cx cy w h", relative, classes 0..6 as above. `partial`: the files name
    only some of what is there; the teacher's boxes fill the rest. A picture without a file is told
    by the teacher alone, and left out when there is none."""
    teacher = read_teacher(teacher_path) if teacher_path else {}
    pictures = []
    for name in list_pictures(folder):
        base = os.path.splitext(os.path.join(folder, name))[0] + ".txt"
        paths = [base, base.replace(os.sep + "images" + os.sep, os.sep + "labels" + os.sep)]
        path = next((p for p in paths if os.path.exists(p)), "")
        if not path and name not in teacher:
            continue
        rows = []
        if path:
            with open(path, encoding="utf-8") as stream:
                rows = [[float(v) for v in line.split()[:5]] for line in stream if line.strip()]
        table = np.array(rows, np.float32).reshape(-1, 5)
        if len(table) and not (table[:, 0].min() >= 0 and table[:, 0].max() <= VEHICLE
                               and table[:, 1:].min() >= 0 and table[:, 1:].max() <= 1):
            raise SystemExit(f"{path}: a line must be \"class cx cy w h\", class 0 to 6, the rest 0 to 1")
        labelled = ALL if path and not partial else frozenset()
        picture = Picture(name, "own", name, table[:, 1:],
                          table[:, 0].astype(int), np.ones(len(table), np.float32), labelled)
        if name in teacher:
            add_teacher(picture, teacher[name])
        pictures.append(picture)
    if not pictures:
        raise SystemExit(f"{folder} holds no labelled picture, and no teacher's boxes are given")
    return pictures


def load_pixels(folder: str, pictures: list) -> None:
    """Decodes all pictures once: red, green, blue."""
    for picture in pictures:
        pixels = cv2.imread(os.path.join(folder, picture.name), cv2.IMREAD_COLOR)
        if pixels is None:
            raise SystemExit(f"{os.path.join(folder, picture.name)} cannot be read as a picture")
        scale = LONGEST_PX / max(pixels.shape[:2])
        if scale < 1:  # more is not seen by the network, and would fill the memory
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture.pixels = np.ascontiguousarray(pixels[..., ::-1])
