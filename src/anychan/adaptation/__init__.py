"""Make any model take any channels, train it for every subset, and turn it back into an ordinary one."""

from anychan.adaptation._new_channels import NewKernels
from anychan.adaptation.model import AnyChannelModel
from anychan.adaptation.normalisation import batch_norms, keep_statistics, recalibrate
from anychan.adaptation.replacement import replace_batch_norm
from anychan.adaptation.stems import adapt, specialize

__all__ = [
    "AnyChannelModel",
    "NewKernels",
    "adapt",
    "batch_norms",
    "keep_statistics",
    "recalibrate",
    "replace_batch_norm",
    "specialize",
]
