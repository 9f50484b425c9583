"""Checkpoints, and networks read back from their ONNX files."""
import torch

import net as network
import onnx_file


def shape_of(path: str) -> str:
    """Of the network in one of our ONNX files."""
    with open(path, "rb") as stream:
        return onnx_file.metadata(stream.read()).get("shape", "default")


def load(path: str) -> network.Net:
    """The network with the averaged weights of a checkpoint (.pt), or of one of our ONNX files."""
    if path.endswith(".onnx"):
        net = network.Net(shape_of(path))
        read_onnx(net, path)
        return net.eval()
    state = torch.load(path, map_location="cpu")
    net = network.Net(state["shape"])
    net.load_state_dict(state["ema"])
    return net.eval()


@torch.no_grad()
def grow(net: network.Net, small: network.Net) -> None:
    """Gives a network the weights of a narrower or shallower one, so that it begins with what that one knows: old
    channels see nothing of the new ones yet, new blocks add nothing yet (Chen et al. 2016)."""
    old = small.state_dict()
    for name, value in net.state_dict().items():
        if name not in old:
            continue
        given = old[name]
        if value.ndim == 4:
            value[:given.shape[0], given.shape[1]:] = 0
        value[tuple(slice(0, side) for side in given.shape)] = given
    for blocks, known in zip(net.blocks, small.blocks):
        for block in blocks[len(known):]:
            block.widen.norm.weight.zero_()


def _convolutions(net: network.Net) -> dict:
    return {name: module for name, module in net.named_modules() if isinstance(module, network.Conv)}


@torch.no_grad()
def read_onnx(net: network.Net, path: str) -> None:
    """The normalisations are part of the convolutions there: here they do nothing but add the bias."""
    with open(path, "rb") as stream:
        weights = onnx_file.weights(stream.read())
    for name, conv in _convolutions(net).items():
        if name + "_weight" not in weights:
            raise SystemExit(f"{path} is of another network than this program's \"{net.shape}\": it has no {name}")
        weight, bias = weights[name + "_weight"], weights[name + "_bias"]
        if name == onnx_file.FIRST:
            weight = weight / network.INPUT_SCALE
        conv.conv.weight.copy_(weight)
        conv.norm.weight.fill_(1.0)
        conv.norm.bias.copy_(bias)
        conv.norm.running_mean.zero_()
        conv.norm.running_var.fill_(1.0 - conv.norm.eps)
    for place, out in enumerate(net.outs):
        out.weight.copy_(weights[f"outs.{place}_weight"])
        out.bias.copy_(weights[f"outs.{place}_bias"])


@torch.no_grad()
def find_statistics(net: network.Net, batches: list) -> None:
    """Gives normalisations that do nothing the mean and spread that they meet in these batches, and the
    scale and bias with which they still do nothing: so that training can go on with them."""
    sums = {name: [0, 0.0, 0.0] for name in _convolutions(net)}
    hooks = []
    for name, conv in _convolutions(net).items():
        def see(_, __, out, entry=sums[name]):
            out = out.float()
            entry[0] += out.numel() // out.shape[1]
            entry[1] = entry[1] + out.sum((0, 2, 3))
            entry[2] = entry[2] + (out * out).sum((0, 2, 3))
        hooks.append(conv.conv.register_forward_hook(see))
    net.eval()
    for x in batches:
        net(x.float())
    for hook in hooks:
        hook.remove()
    for name, conv in _convolutions(net).items():
        count, total, squares = sums[name]
        mean = total / count
        variance = (squares / count - mean * mean).clamp(min=1e-6)
        conv.norm.running_mean.copy_(mean)
        conv.norm.running_var.copy_(variance)
        conv.norm.bias.copy_(conv.norm.bias + mean)
        conv.norm.weight.copy_(torch.sqrt(variance + conv.norm.eps))
    net.train()
