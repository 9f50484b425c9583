"""One training: the network, its running mean, the optimizer, and what a checkpoint holds."""
import copy
import math
import os
import warnings

import torch

import checkpoint
import net as network
from loss import Loss

# PyTorch 1.13 calls scatter_reduce() a beta; what it gives here is tested by the loss falling.
warnings.filterwarnings("ignore", message="scatter_reduce")

WARM_STEPS = 300
RATE_LAST = 0.02     # of the first rate
DECAY = 0.03
CLIP_NORM = 10.0
EMA_LAST, EMA_SOON = 0.999, 200
DENSE_SHARE = 1.0
LATE_FROM = 0.8      # part of the schedule


def parameters_of(net: torch.nn.Module, decay: float) -> list:
    """Weights decay, biases and normalisation do not."""
    plain = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": plain, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


class Training:
    """What a checkpoint holds, and one step."""

    def __init__(self, options, device: str):
        torch.manual_seed(options.seed)
        self.options, self.device = options, device
        self.net = network.Net(options.shape).to(device, memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.net).eval()
        self.optimizer = torch.optim.AdamW(parameters_of(self.net, DECAY), lr=options.rate)
        self.step = self.pictures_seen = 0
        self.elapsed_s = 0.0
        self.losses = {}
        self.dense = torch.zeros((), device=device)  # the teacher's part where it was last asked

    def progress(self) -> float:
        if self.options.epochs:
            return min(1.0, self.pictures_seen / (self.options.epochs * self.options.epoch_pictures))
        return min(1.0, self.elapsed_s / (self.options.minutes * 60))

    def rate(self) -> float:
        warm = min(1.0, (self.step + 1) / WARM_STEPS)
        part = self.progress()
        return self.options.rate * warm * (RATE_LAST + (1 - RATE_LAST) * 0.5 * (1 + math.cos(math.pi * part)))

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        x = pixels.to(self.device).permute(0, 3, 1, 2).to(torch.bfloat16)
        x = (x - network.INPUT_MEAN) * network.INPUT_SCALE
        return x.contiguous(memory_format=torch.channels_last)

    def run(self, pixels: torch.Tensor, targets: list, labelled: torch.Tensor, told) -> tuple:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        height, width = pixels.shape[1:3]
        if (width, height) not in self.losses:
            self.losses[(width, height)] = Loss(width, height, self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            outputs = self.net(self.prepare(pixels))
        judge, labelled = self.losses[(width, height)], labelled.to(self.device)
        loss, parts = judge(outputs, targets, labelled)
        if told is not None:
            self.dense = judge.dense(outputs, told.to(self.device), labelled, self.progress() >= LATE_FROM)
            loss = loss + DENSE_SHARE * self.dense
            self.dense = self.dense.detach()
        parts = torch.cat([parts, self.dense[None]])
        self.optimizer.zero_grad(set_to_none=True)
        if torch.isfinite(loss):
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP_NORM)
            if torch.isfinite(norm):
                self.optimizer.step()
        self.step += 1
        self.pictures_seen += len(targets)
        keep = min(EMA_LAST, self.step / (self.step + EMA_SOON))
        with torch.no_grad():
            for mean, value in zip(self.ema.state_dict().values(), self.net.state_dict().values()):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - keep)
                else:
                    mean.copy_(value)
        return loss.detach(), parts

    def save(self, path: str) -> None:
        state = {"shape": self.net.shape, "net": self.net.state_dict(), "ema": self.ema.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step,
                 "pictures_seen": self.pictures_seen, "elapsed_s": self.elapsed_s}
        torch.save(state, path + ".new")
        os.replace(path + ".new", path)

    def load(self, path: str) -> None:
        state = torch.load(path, map_location=self.device)
        self.net.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.pictures_seen = state["step"], state["pictures_seen"]
        self.elapsed_s = state["elapsed_s"]

    def start_from(self, path: str, batches) -> None:
        """From a checkpoint (.pt) of this or a smaller network, or from the ONNX file of such a network. `batches`:
        some to see what the layers give, where the file does not keep it."""
        if path.endswith(".onnx"):
            if checkpoint.shape_of(path) != self.net.shape:
                raise SystemExit(f"{path} is of the shape {checkpoint.shape_of(path)}: say --shape {checkpoint.shape_of(path)}")
            checkpoint.read_onnx(self.net, path)
            checkpoint.find_statistics(self.net, [self.prepare(next(batches)[0]) for _ in range(8)])
        else:
            checkpoint.grow(self.net, checkpoint.load(path))
        self.ema.load_state_dict(self.net.state_dict())
