"""Networks by name, and model files."""

from anychan.models import (  # noqa: F401 # each registers its networks
    attention_rrdb,
    ghost,
    graph,
    parallel,
    patch_recurrent,
    patch_transformer,
    residual_attention,
    resnet,
    rrdb3,
    wide,
)
from anychan.models._registry import create_model, is_network, list_models, register_model
from anychan.models.files import ModelInfo, find_model, load_model, save_model
from anychan.models.pretrained import (
    PretrainedWeights,
    WeightsUnavailableError,
    pretrained_name,
    pretrained_network,
    read_pretrained,
)

__all__ = [
    "ModelInfo",
    "PretrainedWeights",
    "WeightsUnavailableError",
    "create_model",
    "find_model",
    "is_network",
    "list_models",
    "load_model",
    "pretrained_name",
    "pretrained_network",
    "read_pretrained",
    "register_model",
    "save_model",
]
