"""Where in an image a network saw the class it names: a class-activation map.

Source: Selvaraju et al., Grad-CAM (2017), at the last feature map that still has places. Where that map is averaged and
followed by a linear layer, as in ResNets, it is Zhou et al.'s class-activation map (2016) up to a positive factor.

Shape suffixes: N = 1 image, K classes, F features, h and w places.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor
from torch.nn import functional as F

from anychan.channels import ChannelsLike
from anychan.evaluation.predict import prepare
from anychan.prediction.predictor import Predictor
from anychan.prediction.reading import Planes


def activation_map(predictor: Predictor, image: Planes, channels: ChannelsLike | None, label: int) -> Tensor:
    """How much each place of an image speaks for a class.

    Args:
        predictor: of the model that is asked; not to be used by another thread meanwhile.
        image: of the model's image size, with the channels that are asked about.
        channels: what the model is shown; None: all it knows.
        label: the class, from 0.

    Returns:
        float32 (H, W), from 0 to 1; all 0 where no place speaks for it.

    Raises:
        ValueError: for channels or a label that the model does not have, or a network without a map of places.

    Example:
        >>> from anychan.channels import ChannelSet
        >>> from anychan.models import ModelInfo
        >>> rgb = ChannelSet.parse("RGB").with_statistics([0.5] * 3, [0.3] * 3)
        >>> info = ModelInfo("wide4", 2, "sliced", rgb, ("cat", "dog"), 16, model_options={"width": 3})
        >>> image = Planes(torch.rand(3, 16, 16), rgb)
        >>> activation_map(Predictor(info.create(), info, device="cpu"), image, "RG", 0).shape
        torch.Size([16, 16])
    """
    asked = predictor.asked(channels)
    if not 0 <= label < predictor.info.num_classes:
        raise ValueError(f"label {label} is not one of 0 to {predictor.info.num_classes - 1}")
    model = predictor.model.to(predictor.device).eval()
    planes_NSHW = image.values[None, list(image.channels.indices(asked.names))].to(predictor.device)
    x_NSHW = prepare(planes_NSHW, model.channels, asked).requires_grad_()
    maps: list[Tensor] = []
    with torch.enable_grad(), torch.random.fork_rng(), ExitStack() as hooks:
        torch.manual_seed(0)  # as in `predict_subset`
        for module in model.modules():
            handle = module.register_forward_hook(lambda _module, _input, output: _keep(output, maps))
            hooks.callback(handle.remove)
        logits_NK = model(x_NSHW, channels=asked)
        if not maps:
            raise ValueError(f"a {predictor.info.architecture} keeps no map of places, so there is nothing to show")
        features_NFhw = maps[-1]
        (gradient_NFhw,) = torch.autograd.grad(logits_NK[0, label], features_NFhw)
    weight_NF11 = gradient_NFhw.mean(dim=(2, 3), keepdim=True)
    speaks_N1hw = (weight_NF11 * features_NFhw.detach()).sum(dim=1, keepdim=True).relu()
    shown_HW = F.interpolate(speaks_N1hw, x_NSHW.shape[2:], mode="bilinear")[0, 0].cpu()
    return shown_HW / shown_HW.max().clamp_min(1e-12)


def _keep(output: object, maps: list[Tensor]) -> None:
    """The last output with two dimensions of places is kept, not a pooled one."""
    if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1 and output.requires_grad:
        maps[:] = [output]
