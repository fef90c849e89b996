"""Any-channel convolutions: one strategy a file, all behind the contract of ``_contract.py``."""

from anychan.nn._contract import AnyChannelConv2d, KernelConv2d, Promises, conv_geometry
from anychan.nn._registry import get_strategy, list_strategies, register_strategy
from anychan.nn.completed import CompletedConv2d, completion
from anychan.nn.sliced import SlicedConv2d

__all__ = [
    "AnyChannelConv2d",
    "CompletedConv2d",
    "KernelConv2d",
    "Promises",
    "SlicedConv2d",
    "completion",
    "conv_geometry",
    "get_strategy",
    "list_strategies",
    "register_strategy",
]
