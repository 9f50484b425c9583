#!/usr/bin/python3
"""bench/cuda_roofline.py: what this card gives at most: copies within its memory, and products of
fp16 matrices on its tensor cores. Prints TSV; needs PyTorch with CUDA, else it says so."""

import sys


def timed(torch, run, times):
    run()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for _ in range(times):
        run()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1000 / times


def main():
    try:
        import torch
    except ImportError:
        print('skipped: no PyTorch', file=sys.stderr)
        return
    if not torch.cuda.is_available():
        print('skipped: PyTorch sees no card', file=sys.stderr)
        return
    a = torch.empty(1 << 30, dtype=torch.uint8, device='cuda')
    b = torch.empty_like(a)
    print('memory\tGB/s\t%.0f' % (2 * a.numel() / timed(torch, lambda: b.copy_(a), 20) / 1e9))
    side = 8192
    x, y = (torch.randn(side, side, dtype=torch.float16, device='cuda') for _ in range(2))
    seconds = timed(torch, lambda: torch.mm(x, y), 20)
    print('fp16\tTFLOP/s\t%.0f' % (2 * side ** 3 / seconds / 1e12))


main()
