"""What networks are made of: blocks, one idea a file."""

from anychan.blocks.branches import BranchedConv2d, fold_branches
from anychan.blocks.whitening import whitening_kernel

__all__ = ["BranchedConv2d", "fold_branches", "whitening_kernel"]
