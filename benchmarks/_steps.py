"""A step of training on a CPU as ``anychan.train`` takes it there, for the benchmarks that time one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.training import TrainConfig
from anychan.training.machine import Machine
from anychan.training.optimisers import make_optimizer


def new_step(
    model: nn.Module, config: TrainConfig, machine: Machine, *, faster: bool = True, in_order: bool = True
) -> Callable[..., None]:
    """A function that trains one step: forward pass, loss, backward pass and update.

    It takes images and labels, and by name what else the model is called with. Keeping memory is left to the caller.

    Args:
        model: what is trained; it gets the machine's memory layout.
        config: for the optimiser and the smoothing of labels.
        machine: for the number format and the memory layout.
        faster: whether the faster ways are taken over small maps, for depthwise convolutions and for means.
        in_order: whether updates go in memory order.
    """
    model = model.to(memory_format=machine.memory_format).train()
    optimizer = make_optimizer(model, config.optimizer)
    autocast = partial(torch.autocast, machine.device, torch.bfloat16, enabled=machine.precision == "bfloat16")
    context = machine.context if faster else autocast
    update = machine.update_context if in_order else nullcontext

    def step(x: Tensor, y: Tensor, **call: object) -> None:
        optimizer.zero_grad(set_to_none=True)
        with context():
            logits = model(x.contiguous(memory_format=machine.memory_format), **call).float()
        F.cross_entropy(logits, y, label_smoothing=config.label_smoothing).backward()
        with update():
            optimizer.step()

    return step
