"""anychan: image models that take any channels.

>>> import anychan, timm, torch
>>> model = anychan.adapt(timm.create_model("resnet18"), channels="RGB", strategy="sliced").eval()
>>> model(torch.rand(1, 2, 64, 64), channels="RG").shape
torch.Size([1, 1000])
>>> anychan.specialize(model, "RG").conv1.in_channels
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anychan._lazy import lazily

if TYPE_CHECKING:
    from anychan.adaptation import AnyChannelModel, adapt, keep_statistics, recalibrate, specialize
    from anychan.channels import Channel, ChannelSet
    from anychan.cost import depth, profile
    from anychan.exporting import export
    from anychan.models import ModelInfo, create_model, load_model, save_model
    from anychan.models.hub import PretrainedModel
    from anychan.prediction import Prediction, Predictor, predict
    from anychan.statistics import ChannelStatistics, RunningStatistics
    from anychan.training import collate, sample_channels, sample_smaller, sandwich

__version__ = "0.1.0"

_PUBLIC = {
    "AnyChannelModel": "anychan.adaptation",
    "Channel": "anychan.channels",
    "ChannelSet": "anychan.channels",
    "ChannelStatistics": "anychan.statistics",
    "ModelInfo": "anychan.models",
    "Prediction": "anychan.prediction",
    "Predictor": "anychan.prediction",
    "PretrainedModel": "anychan.models.hub",
    "RunningStatistics": "anychan.statistics",
    "adapt": "anychan.adaptation",
    "collate": "anychan.training",
    "create_model": "anychan.models",
    "depth": "anychan.cost",
    "export": "anychan.exporting",
    "keep_statistics": "anychan.adaptation",
    "load_model": "anychan.models",
    "predict": "anychan.prediction",
    "profile": "anychan.cost",
    "recalibrate": "anychan.adaptation",
    "sample_channels": "anychan.training",
    "sample_smaller": "anychan.training",
    "sandwich": "anychan.training",
    "save_model": "anychan.models",
    "specialize": "anychan.adaptation",
}
__all__ = [
    "AnyChannelModel",
    "Channel",
    "ChannelSet",
    "ChannelStatistics",
    "ModelInfo",
    "Prediction",
    "Predictor",
    "PretrainedModel",
    "RunningStatistics",
    "adapt",
    "collate",
    "create_model",
    "depth",
    "export",
    "keep_statistics",
    "load_model",
    "predict",
    "profile",
    "recalibrate",
    "sample_channels",
    "sample_smaller",
    "sandwich",
    "save_model",
    "specialize",
]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
