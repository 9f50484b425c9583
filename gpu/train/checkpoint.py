"""Checkpoints: what training goes on from, and where the averaged weights lie."""
import torch

import net as network


def load(path: str) -> network.Net:
    """The network with the averaged weights of a checkpoint."""
    state = torch.load(path, map_location="cpu")
    net = network.Net(state["shape"])
    net.load_state_dict(state["ema"])
    return net.eval()
