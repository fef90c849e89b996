"""What networks are made of: blocks, one idea a file."""

from anychan.blocks.activations import GEGLU, Activation, make_activation
from anychan.blocks.attended import Attended
from anychan.blocks.attention import SelfAttention2d
from anychan.blocks.branches import BranchedConv2d
from anychan.blocks.deepened import DeepenedConv2d
from anychan.blocks.dense import DenseConvs, ScaledResidual, residual_dense_block, rrdb
from anychan.blocks.folding import FoldableConv2d, fold_branches
from anychan.blocks.ghost import GhostBottleneck
from anychan.blocks.graph import MaxRelativeConv
from anychan.blocks.pooling import NonOverlappingMaxPool2d
from anychan.blocks.whitening import whitening_kernel

__all__ = [
    "GEGLU",
    "Activation",
    "Attended",
    "BranchedConv2d",
    "DeepenedConv2d",
    "DenseConvs",
    "FoldableConv2d",
    "GhostBottleneck",
    "MaxRelativeConv",
    "NonOverlappingMaxPool2d",
    "ScaledResidual",
    "SelfAttention2d",
    "fold_branches",
    "make_activation",
    "residual_dense_block",
    "rrdb",
    "whitening_kernel",
]
