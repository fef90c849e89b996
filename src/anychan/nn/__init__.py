"""Any-channel convolutions: one strategy a file, all behind the contract of ``_contract.py``."""

from anychan.nn._contract import AnyChannelConv2d, KernelConv2d, Promises, conv_geometry
from anychan.nn._registry import describe_strategies, get_strategy, list_strategies, register_strategy
from anychan.nn.attentive import AttentiveConv2d
from anychan.nn.by_count import ByCountConv2d
from anychan.nn.completed import CompletedConv2d, completion
from anychan.nn.generated import GeneratedConv2d
from anychan.nn.masked import MaskedConv2d
from anychan.nn.mixed import MixedConv2d
from anychan.nn.pooled import PooledConv2d
from anychan.nn.sliced import SlicedConv2d
from anychan.nn.spectral import SpectralConv2d
from anychan.nn.template import TemplateConv2d
from anychan.nn.tokens import TokensConv2d, take_over_positions

__all__ = [
    "AnyChannelConv2d",
    "AttentiveConv2d",
    "ByCountConv2d",
    "CompletedConv2d",
    "GeneratedConv2d",
    "KernelConv2d",
    "MaskedConv2d",
    "MixedConv2d",
    "PooledConv2d",
    "Promises",
    "SlicedConv2d",
    "SpectralConv2d",
    "TemplateConv2d",
    "TokensConv2d",
    "completion",
    "conv_geometry",
    "describe_strategies",
    "get_strategy",
    "list_strategies",
    "register_strategy",
    "take_over_positions",
]
