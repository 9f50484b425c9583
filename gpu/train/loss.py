"""What the network is told: cells are assigned to boxes by how well they do both tasks already (class and
place), classes learn the overlap that they should promise, sides learn by generalised overlap."""
import torch
import torch.nn.functional as F

import net as network
from pictures import BUS, CAR, CLASS_COUNT, PERSON, TRUCK, VEHICLE

CANDIDATES = 10       # cells of a box at most
SCORE_POWER, OVERLAP_POWER = 0.5, 4.0
NEAR_STRIDES = 0.7    # a cell this near to a small box's centre is in it
NEGATIVE_WEIGHT, NEGATIVE_POWER = 0.75, 2.0
BOX_WEIGHT, SIDE_WEIGHT = 2.0, 0.5
UNLABELLED_NEGATIVE = 0.5   # a class that the set does not label may be there unseen by the teacher
DENSE_CLASS_WEIGHT, DENSE_BOX_WEIGHT = 1.0, 1.0
# How much of the teacher counts where there are labels: on people, on the rest; and at the end, when the labels are
# learnt and what the teacher knows of people elsewhere is still worth having.
DENSE_LABELLED, DENSE_LABELLED_LATE = (0.35, 0.1), (0.8, 0.15)
DENSE_SEEN = 0.2            # a teacher that sees less than this says nothing against a label
DENSE_BOX_LEAST = 0.15
CAR_FIRST = 1.0             # logits that a vehicle of unstated type is a car rather than a bus or truck
LARGEST_SIDE_PX = {8: 112.0, 16: 288.0, 32: 1e9}
LEAST_SIDE_PX = {8: 0.0, 16: 20.0, 32: 48.0}


def overlap(a: torch.Tensor, b: torch.Tensor, generalised: bool = False) -> torch.Tensor:
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both + 1e-6
    value = both / union
    if not generalised:
        return value
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return value - (hull + 1e-6 - union) / (hull + 1e-6)


class Loss:
    def __init__(self, width: int, height: int, device: str = "cpu"):
        self.points, self.strides = (t.to(device) for t in network.cells(height, width))
        self.least = torch.zeros_like(self.strides)
        self.most = torch.zeros_like(self.strides)
        for stride in network.STRIDES:
            self.least[self.strides == stride] = LEAST_SIDE_PX[stride]
            self.most[self.strides == stride] = LARGEST_SIDE_PX[stride]

    def __call__(self, outputs: list, targets: list, labelled: torch.Tensor) -> tuple:
        """`targets`: for each picture boxes as augment.Augmenter.make() gives them; `labelled`:
        pictures x classes, 1 where the set labels the class. Returns the loss and its parts."""
        flat = network.flatten(outputs)
        logits = flat[..., network.SIDES:]
        decoded = network.boxes_of(flat, self.points, self.strides)
        target = torch.zeros_like(logits)
        weight = (UNLABELLED_NEGATIVE + (1 - UNLABELLED_NEGATIVE) * labelled)[:, None].expand_as(logits).clone()
        chosen, truth, quality, picture = [], [], [], []
        with torch.no_grad():
            for n, boxes in enumerate(targets):
                if len(boxes):
                    found = self._assign(logits[n], decoded[n], boxes.to(flat.device), target[n], weight[n])
                    chosen.append(found[0])
                    truth.append(found[1])
                    quality.append(found[2])
                    picture.append(torch.full_like(found[0], n))
            probability = logits.sigmoid()
            weight *= torch.where(target > 0, target, NEGATIVE_WEIGHT * probability ** NEGATIVE_POWER)
        class_loss = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum()
        box_loss = side_loss = class_loss.new_zeros(())
        total = class_loss.new_ones(())
        if chosen:
            at, of = torch.cat(chosen), torch.cat(picture)
            true, quality = torch.cat(truth), torch.cat(quality)
            total = quality.sum().clamp(min=1)
            box_loss = ((1 - overlap(decoded[of, at], true, generalised=True)) * quality).sum()
            wanted = torch.cat([self.points[at] - true[:, :2], true[:, 2:] - self.points[at]], 1)
            wanted = (wanted / self.strides[at, None]).clamp(min=0.1).log()
            side_loss = (F.smooth_l1_loss(flat[of, at, :network.SIDES], wanted, reduction="none",
                                          beta=0.2).mean(1) * quality).sum()
        loss = (class_loss + BOX_WEIGHT * box_loss + SIDE_WEIGHT * side_loss) / total
        return loss, torch.stack([class_loss.detach(), box_loss.detach(), side_loss.detach()]) / total.detach()

    def dense(self, outputs: list, told: torch.Tensor, labelled: torch.Tensor, late: bool) -> torch.Tensor:
        """How far the network is from what the teacher says of each cell (dense.DenseTeacher). `late`: near the
        end of the training."""
        person, rest = DENSE_LABELLED_LATE if late else DENSE_LABELLED
        flat = network.flatten(outputs)
        logits, told = flat[..., network.SIDES:], told.float()
        score = told[..., :CLASS_COUNT]
        seen = (score > DENSE_SEEN).float()
        known = torch.full_like(score, rest) * seen
        known[..., PERSON] = person * (0.3 + 0.7 * seen[..., PERSON])
        share = torch.where(labelled[:, None] > 0, known, torch.ones_like(known))
        with torch.no_grad():
            weight = (logits.sigmoid() - score).abs() ** 2 * share
        class_loss = (F.binary_cross_entropy_with_logits(logits, score, reduction="none") * weight).sum()
        promise = (score * share).max(-1)[0]
        at = (promise > DENSE_BOX_LEAST).nonzero(as_tuple=True)
        total = (score * share).sum().clamp(min=1)
        mine = network.boxes_of(flat, self.points, self.strides)[at]
        box_loss = ((1 - overlap(mine, told[..., CLASS_COUNT:][at], generalised=True)) * promise[at]).sum()
        return (DENSE_CLASS_WEIGHT * class_loss + DENSE_BOX_WEIGHT * box_loss) / total

    def _assign(self, logits, decoded, boxes, target, weight) -> tuple:
        """One picture. Fills `target` and `weight` (cells x classes); returns the cells that have a
        box, that box, and how much the cell is to promise."""
        kinds = boxes[:, 5 - 1].long()
        self._leave_out(boxes[boxes[:, 5] <= 0], weight)
        things = boxes[:, 5] > 0
        boxes, kinds = boxes[things], kinds[things]
        none = torch.zeros(0, dtype=torch.long, device=logits.device)
        if len(boxes) == 0:
            return none, boxes[:, :4], boxes[:, 4]
        corners = boxes[:, :4]
        prior = logits.clone()
        prior[:, CAR] += CAR_FIRST
        wheels = prior[:, [CAR, BUS, TRUCK]]
        unstated_score, unstated_kind = wheels.max(1)
        scores = torch.cat([logits, unstated_score[:, None]], 1).sigmoid()[:, kinds].T
        overlaps = overlap(decoded[None], corners[:, None])
        centre, half = (corners[:, :2] + corners[:, 2:]) / 2, (corners[:, 2:] - corners[:, :2]) / 2
        reach = torch.maximum(half[:, None], NEAR_STRIDES * self.strides[None, :, None])
        inside = ((self.points[None] - centre[:, None]).abs() < reach).all(-1)
        longest = 2 * half.max(1)[0][:, None]
        inside &= (longest >= self.least) & (longest <= self.most)
        metric = scores.clamp(min=1e-4) ** SCORE_POWER * overlaps.clamp(min=1e-3) ** OVERLAP_POWER * inside
        top, places = metric.topk(CANDIDATES, 1)
        kept = torch.zeros_like(metric).scatter_(1, places, top)
        best, owner = kept.max(0)
        cells = (best > 0).nonzero()[:, 0]
        if len(cells) == 0:
            return none, corners[:0], boxes[:0, 4]
        owner, best = owner[cells], best[cells]
        reached = overlaps[owner, cells]
        most_metric = torch.zeros(len(boxes), device=logits.device).scatter_reduce(0, owner, best, "amax")
        most_overlap = torch.zeros(len(boxes), device=logits.device).scatter_reduce(0, owner, reached, "amax")
        quality = best / most_metric[owner] * most_overlap[owner].clamp(min=0.1)
        quality = quality * boxes[owner, 5].clamp(max=1.0) ** 0.5
        kind = kinds[owner]
        unstated = kind == VEHICLE
        four = torch.tensor([CAR, BUS, TRUCK], device=logits.device)
        kind = torch.where(unstated, four[unstated_kind[cells]], kind)
        weight[cells] = 1.0
        rest = cells[unstated]
        weight[rest[:, None], four[None]] = 0.0
        weight[cells, kind] = 1.0
        target[cells, kind] = quality
        return cells, corners[owner], quality

    def _leave_out(self, boxes, weight) -> None:
        """Where something may be, nothing of its family counts as none."""
        for x0, y0, x1, y1, kind, _ in boxes.tolist():
            inside = ((self.points[:, 0] > x0 - 4) & (self.points[:, 0] < x1 + 4) &
                      (self.points[:, 1] > y0 - 4) & (self.points[:, 1] < y1 + 4))
            family = {0: [0], 1: [1, 3], 3: [1, 3]}.get(int(kind), [CAR, BUS, TRUCK])
            for k in family[:CLASS_COUNT]:
                weight[inside, k] = 0.0
