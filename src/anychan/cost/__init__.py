"""What a model costs on a channel set: parameters, multiplications, depth, latency, memory."""

from anychan.cost.latency import Latency, measure_latency
from anychan.cost.layers import Layer, list_layers, recorded_layers
from anychan.cost.macs import MACs, count_macs
from anychan.cost.memory import Memory, measure_memory
from anychan.cost.parameters import count_parameters
from anychan.cost.profiling import Profile, profile
from anychan.cost.weighted_layers import depth

__all__ = [
    "Latency",
    "Layer",
    "MACs",
    "Memory",
    "Profile",
    "count_macs",
    "count_parameters",
    "depth",
    "list_layers",
    "measure_latency",
    "measure_memory",
    "profile",
    "recorded_layers",
]
