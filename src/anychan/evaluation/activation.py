"""Where in an image a network saw the class it names: a class-activation map.

Source: Selvaraju et al., Grad-CAM (2017), at the last feature map that still has places. Where that map is averaged and
followed by a linear layer, as in ResNets, it is Zhou et al.'s class-activation map (2016) up to a positive factor.

Shape suffixes: N = 1 image, K classes, F features, h and w places.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet
from anychan.evaluation.predict import same_draws


def activation_map(model: AnyChannelModel, x_NSHW: Tensor, channels: ChannelSet, label: int) -> Tensor:
    """How much each place of an image speaks for a class.

    Args:
        model: called ``model(x, channels=...)``, in evaluation mode; not to be used by another thread meanwhile.
        x_NSHW: one normalised image, (1, S, H, W), the planes of ``channels``.
        channels: what the model is shown.
        label: the class, from 0.

    Returns:
        float32 (H, W), from 0 to 1; all 0 where no place speaks for it.

    Raises:
        ValueError: for a network that keeps no map of places.

    Example:
        >>> from anychan.models import create_model
        >>> model = create_model("wide4", "RGB", 2, "sliced", model_options={"width": 3}).eval()
        >>> activation_map(model, torch.randn(1, 2, 16, 16), ChannelSet.parse("RG"), 0).shape
        torch.Size([16, 16])
    """
    maps: list[Tensor] = []
    with torch.enable_grad(), same_draws(model, x_NSHW.device), ExitStack() as hooks:
        for module in model.modules():
            handle = module.register_forward_hook(lambda of, given, output: _keep(of, given, output, x_NSHW, maps))
            hooks.callback(handle.remove)
        logits_NK = model(x_NSHW.detach().requires_grad_(), channels=channels)
        if not maps:
            raise ValueError("the network keeps no map of places, so there is nothing to show")
        features_NFhw = maps[-1]
        (gradient_NFhw,) = torch.autograd.grad(logits_NK[0, label], features_NFhw)
    weight_NF11 = gradient_NFhw.mean(dim=(2, 3), keepdim=True)
    speaks_N1hw = (weight_NF11 * features_NFhw.detach()).sum(dim=1, keepdim=True).relu()
    shown_HW = F.interpolate(speaks_N1hw, x_NSHW.shape[2:], mode="bilinear")[0, 0].cpu()
    return shown_HW / shown_HW.max().clamp_min(1e-12)


def overlaid(picture: npt.NDArray[np.uint8], heat_HW: Tensor) -> npt.NDArray[np.uint8]:
    """A picture (H, W, 3) in gray with a map of 0 to 1 over it, from nothing over orange to yellow."""
    heat = heat_HW.numpy()[:, :, None]
    gray = picture.mean(axis=2, keepdims=True) * 0.7
    glow = np.concatenate([np.full_like(heat, 255), 255 * heat, np.zeros_like(heat)], axis=2)
    shown: npt.NDArray[np.uint8] = (gray * (1 - 0.75 * heat) + glow * 0.75 * heat).round().astype(np.uint8)
    return shown


def _keep(module: nn.Module, inputs: tuple[object, ...], output: object, x_NSHW: Tensor, maps: list[Tensor]) -> None:
    """The last output whose two last dimensions are places of the image is kept, not a pooled one.

    Transformers have outputs of four dimensions too that are no such map: queries, keys and attention, which go through
    identities, dropout and softmax; channels that stand last; and the patches, which a first layer makes of the image
    itself before anything was looked at.
    """
    if isinstance(module, nn.Identity | nn.Dropout | nn.Softmax):
        return
    if inputs and isinstance(inputs[0], Tensor) and inputs[0].shape == x_NSHW.shape:
        return
    if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1 and output.requires_grad:
        (h, w), (height, width) = output.shape[2:], x_NSHW.shape[2:]
        if abs(h * width - w * height) <= max(height, width):  # the same shape, within a place of rounding
            maps[:] = [output]
