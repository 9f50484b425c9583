"""The network: plain convolutions and ReLU in shapes that matrix units like, boxes without anchors.

Input: 1 x 3 x H x W, red, green, blue in 0..255; H and W any multiple of 32. The mean and the scale
are folded into the first convolution when the file is written. Output, for each of the strides 8, 16
and 32: 1 x 10 x H/stride x W/stride: the logarithms of the distances, in strides, from the cell's
centre to the box's left, top, right and bottom side, then the logits of the six classes."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
STRIDES = (8, 16, 32)
SIDES = 4
POOLS, POOL_SIDE, POOL_CHANNELS = 3, 5, 64
INPUT_MEAN = 114.0
INPUT_SCALE = 1.0 / 64.0

# Widths: the maps at strides 2, 4, 8, 16, 32; the pyramid's at 8, 16 and 32. Blocks at 8, 16, 32; whether a Pool
# block follows those at 32. Shapes with a Pool block have as many blocks before it, so that one can grow from another.
SHAPES = {
    "small": {"stem": (16, 32), "stages": (48, 96, 192), "blocks": (1, 2, 2), "pyramid": (32, 64, 96), "pool": False},
    "default": {"stem": (16, 32), "stages": (48, 96, 192), "blocks": (1, 2, 4), "pyramid": (32, 64, 96), "pool": True},
    "large": {"stem": (16, 32), "stages": (64, 128, 256), "blocks": (2, 3, 4), "pyramid": (64, 96, 128), "pool": True},
}


class Conv(nn.Module):
    """Convolution, normalisation, and ReLU unless the sum that follows has it."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, momentum=0.03, eps=1e-3)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x

    def folded(self) -> tuple:
        """Weight and bias of the one convolution that does the same."""
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        return (self.conv.weight * scale[:, None, None, None],
                self.norm.bias - self.norm.running_mean * scale)


class Block(nn.Module):
    """Residual: 1x1 to half the channels, 3x3 there, 1x1 back."""

    def __init__(self, channels: int):
        super().__init__()
        self.narrow = Conv(channels, channels // 2, 1)
        self.middle = Conv(channels // 2, channels // 2, 3)
        self.widen = Conv(channels // 2, channels, 1, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.widen(self.middle(self.narrow(x))))


class Pool(nn.Module):
    """Residual: 1x1 to a few channels, beside them the largest value of wider and wider surroundings, 1x1 back: so
    that a thing that fills the picture is seen whole (He et al. 2015)."""

    def __init__(self, channels: int):
        super().__init__()
        self.narrow = Conv(channels, POOL_CHANNELS, 1)
        self.widen = Conv((1 + POOLS) * POOL_CHANNELS, channels, 1, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.narrow(x)]
        for _ in range(POOLS):
            parts.append(F.max_pool2d(parts[-1], POOL_SIDE, 1, POOL_SIDE // 2))
        return F.relu(x + self.widen(torch.cat(parts, 1)))


class Net(nn.Module):
    def __init__(self, shape: str = "default"):
        super().__init__()
        widths = SHAPES[shape]
        self.shape = shape
        first, second = widths["stem"]
        self.stem = nn.ModuleList([Conv(3, first, 3, 2), Conv(first, second, 3, 2)])
        before = second
        self.down, self.blocks = nn.ModuleList(), nn.ModuleList()
        for channels, count in zip(widths["stages"], widths["blocks"]):
            self.down.append(Conv(before, channels, 3, 2))
            self.blocks.append(nn.ModuleList(Block(channels) for _ in range(count)))
            before = channels
        if widths["pool"]:
            self.blocks[-1].append(Pool(before))
        c8, c16, c32 = widths["stages"]
        p8, p16, p32 = widths["pyramid"]
        self.side8, self.side16, self.side32 = Conv(c8, p8, 1, relu=False), Conv(c16, p16, 1, relu=False), Conv(c32, p32, 1)
        self.up32, self.up16 = Conv(p32, p16, 1, relu=False), Conv(p16, p8, 1, relu=False)
        self.mix8, self.mix16 = Conv(p8, p8), Conv(p16, p16)
        self.towers = nn.ModuleList(Conv(p, p) for p in (p8, p16, p32))
        self.outs = nn.ModuleList(nn.Conv2d(p, SIDES + len(CLASSES), 1) for p in (p8, p16, p32))
        for out in self.outs:
            nn.init.normal_(out.weight, std=0.01)
            nn.init.constant_(out.bias[:SIDES], math.log(2.0))
            nn.init.constant_(out.bias[SIDES:], -math.log((1 - 0.01) / 0.01))

    def forward(self, x: torch.Tensor) -> list:
        for conv in self.stem:
            x = conv(x)
        maps = []
        for down, blocks in zip(self.down, self.blocks):
            x = down(x)
            for block in blocks:
                x = block(x)
            maps.append(x)
        p32 = self.side32(maps[2])
        p16 = F.relu(self.side16(maps[1]) + F.interpolate(self.up32(p32), scale_factor=2.0, mode="nearest"))
        p16 = self.mix16(p16)
        p8 = F.relu(self.side8(maps[0]) + F.interpolate(self.up16(p16), scale_factor=2.0, mode="nearest"))
        p8 = self.mix8(p8)
        return [out(tower(p)) for out, tower, p in zip(self.outs, self.towers, (p8, p16, p32))]


def flatten(outputs: list) -> torch.Tensor:
    """One tensor N x cells x 10 in float32."""
    return torch.cat([o.float().flatten(2).transpose(1, 2) for o in outputs], 1)


def cells(height: int, width: int) -> tuple:
    """Centres (cells x 2, x first) in pixels and strides (cells) of an input's size."""
    points, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        points.append((torch.stack([x.reshape(-1), y.reshape(-1)], 1).float() + 0.5) * stride)
        strides.append(torch.full((rows * columns,), float(stride)))
    return torch.cat(points), torch.cat(strides)


def boxes_of(flat: torch.Tensor, points: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
    """Corners in pixels from the first four numbers of every cell."""
    side = flat[..., :SIDES].clamp(-6, 6).exp() * strides[:, None]
    return torch.cat([points - side[..., :2], points + side[..., 2:]], -1)
