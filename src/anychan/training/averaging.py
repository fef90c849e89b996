"""A moving average of the weights, with a decay that grows while there is little to average.

A decay of 0.999 alone still gives the weights of the first step 37 percent after a thousand steps. So the average
after n + 1 steps decays by min(decay, (1 + n) / (10 + n)), as TensorFlow's ``ExponentialMovingAverage`` with
``num_updates``: it looks back over about a tenth of the steps so far until that is as long as asked for.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An average of a model's weights and buffers; its ``update_parameters(model)`` is called after each step.

    What counts or points somewhere, tensors of whole numbers, has no average: it is as in the model.

    Args:
        model: whose; it is copied.
        decay: a step's, in (0, 1), once there have been enough.

    Example:
        >>> import torch
        >>> model = nn.Linear(1, 1)
        >>> average = moving_average(model, decay=0.999)
        >>> for weight in (0.0, *[1.0] * 50):
        ...     _ = torch.nn.init.constant_(model.weight, weight)
        ...     average.update_parameters(model)
        >>> round(average.module.weight.item(), 3)
        1.0
    """

    def update(averages: PARAM_LIST, current: PARAM_LIST, number: Tensor | int) -> None:
        if not (averages[0].is_floating_point() or averages[0].is_complex()):  # all of one update are of one type
            for average_of, now in zip(averages, current, strict=True):
                average_of.copy_(now)
            return
        steps = int(average.n_averaged)  # not ``number``, the same on the device, which would have to be waited for
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(averages, current, number)

    average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)  # which `update` asks for its count
    return average
