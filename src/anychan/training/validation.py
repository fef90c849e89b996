"""Loss and accuracy on the validation split after an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from anychan.channels import ChannelSet
from anychan.training.batches import Inputs
from anychan.training.machine import Machine

if TYPE_CHECKING:
    from accelerate import Accelerator

# Images at once, in each process.
_BATCH = 128


def validate(
    model: nn.Module, inputs: Inputs, channels: ChannelSet, machine: Machine, accelerator: Accelerator
) -> tuple[float, float]:
    """Mean cross-entropy (nats, without label smoothing) and accuracy over all images of ``inputs``.

    Args:
        model: called ``model(x, channels=...)``; it is left in evaluation mode.
        inputs: the validation images, not augmented.
        channels: what the model gets to see.
        machine: number format and layout.
        accelerator: the processes, which share the images out.
    """
    model.eval()
    totals = torch.zeros(2, dtype=torch.float64)  # sum of losses, right answers
    mine = torch.arange(accelerator.process_index, len(inputs), accelerator.num_processes)
    with torch.no_grad():
        for rows in mine.to(inputs.array.images.device).split(_BATCH):
            batch = inputs.batch(rows, channels)
            with machine.context():
                some = {} if batch.present is None else {"present": batch.present}
                logits = model(batch.images, channels=batch.channels, **some).float()
            losses = F.cross_entropy(logits, batch.labels, reduction="sum")
            right = (logits.argmax(dim=1) == batch.labels).sum()
            totals += torch.stack([losses, right]).cpu().double()
    if accelerator.num_processes > 1:
        totals = accelerator.reduce(totals.to(accelerator.device))
    loss, accuracy = (totals / len(inputs)).tolist()
    return loss, accuracy
