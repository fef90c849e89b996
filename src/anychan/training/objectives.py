"""Objectives: what a step of training for every subset minimises.

An objective gives its losses one at a time, each with the logits it was made from, and each is followed by its own
backward pass, so that only one pass through the network is in memory:

    for loss, logits in sandwich(model, x, labels, subsets):
        loss.backward()

Shape suffixes: N images, C all channels of the model, S the channels of a subset, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anychan.channels import ChannelSet

Loss = Callable[[Tensor, Tensor], Tensor]  # of what a model answers and what it should, a scalar
Part = tuple[Tensor, Tensor]  # a loss (scalar) and the logits (N, K) behind it


def cross_entropy(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    channels: ChannelSet,
    *,
    present: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Iterator[Part]:
    """The labels alone, on the channels a batch has: one loss.

    Args:
        model: called ``model(x, channels=..., present=...)``.
        x: (N, S, H, W), the planes of ``channels``.
        labels: (N,).
        channels: those of the batch.
        present: bool (N, S), where each image has channels of its own.
        label_smoothing: in [0, 1).
    """
    logits = _logits(model, x, channels, present)
    yield F.cross_entropy(logits, labels, label_smoothing=label_smoothing), logits


def sandwich(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    subsets: Sequence[ChannelSet],
    *,
    channels: ChannelSet,
    label_smoothing: float = 0.0,
    teacher: Callable[..., Tensor] | None = None,
    temperature: float = 1.0,
    label_share: float = 0.0,
    full_share: float | None = None,
    loss: Loss | None = None,
    distil: Loss | None = None,
) -> Iterator[Part]:
    """The full set learns the labels, then each subset what the full set answered to the same images.

    With a trained teacher all of them, the full set too, learn what it answers to all planes.

    Args:
        model: called ``model(x, channels=...)``.
        x: (N, C, H, W), all planes.
        labels: (N,).
        subsets: of ``channels``, usually the smallest size and others drawn at random.
        channels: the names of the planes of ``x``.
        label_smoothing: of the full set's loss, in [0, 1), and of the subsets' share of labels.
        teacher: called ``teacher(x, channels=...)``; gives logits (N, K) of all planes.
        temperature: above 0; answers are softened by it, and the loss is scaled by its square.
        label_share: in [0, 1]: how much of a subset's loss is that of the labels, and of the full set's with a teacher.
        full_share: in (0, 1): how much of the step's loss is the full set's, the subsets sharing the rest alike; not
            given: as much as that of each subset. Without subsets the full set's loss is all.
        loss: for other tasks than one class an image: ``loss(answers, labels)``, a scalar, in place of cross-entropy;
            ``labels`` may be whatever it takes.
        distil: goes with ``loss``: ``distil(answers, taught)``, a scalar, what a subset is to answer and what the full
            set, or the teacher, answered.

    Yields:
        1 + len(subsets) parts, the full set's first, each loss weighted by its share.

    Source: sandwich rule and in-place distillation, Yu and Huang, "Universally Slimmable Networks and Improved
    Training Techniques", arXiv 1903.05134; there for widths, here for channels. Softened
    answers: Hinton, Vinyals and Dean, arXiv 1503.02531.

    Example:
        >>> from anychan import adapt
        >>> from anychan.training import sample_smaller
        >>> import timm
        >>> model = adapt(timm.create_model("resnet18", num_classes=10), strategy="sliced")
        >>> subsets = sample_smaller(model.channels, 2, torch.Generator().manual_seed(0))
        >>> x, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
        >>> for loss, logits in sandwich(model, x, labels, subsets, channels=model.channels):
        ...     loss.backward()

        Several classes an image:

        >>> several = torch.tensor([[1.0, 0, 1] + 7 * [0]] * 4)
        >>> loss = torch.nn.functional.binary_cross_entropy_with_logits
        >>> def distil(answers, taught):
        ...     return loss(answers, taught.sigmoid())
        >>> parts = sandwich(model, x, several, subsets, channels=model.channels, loss=loss, distil=distil)
        >>> len([part.backward() for part, _ in parts])
        3
    """
    if (loss is None) != (distil is None):
        raise ValueError("loss and distil go together: what the labels ask for, and what a teacher's answers do")
    if loss is not None and (temperature != 1 or label_smoothing != 0):
        raise ValueError("temperature and label_smoothing are those of cross-entropy: leave them out with another loss")
    if full_share is None or not subsets:
        full_share = each_share = 1 / (1 + len(subsets))
    else:
        each_share = (1 - full_share) / len(subsets)
    softened = {"temperature": temperature, "label_share": label_share, "label_smoothing": label_smoothing}

    def from_labels(logits: Tensor) -> Tensor:
        if loss is not None:
            return loss(logits, labels)
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    def from_answers(logits: Tensor, answers: Tensor) -> Tensor:
        if distil is None:
            return distillation(logits, answers, labels, **softened)
        followed = distil(logits, answers)
        return followed if label_share == 0 else (1 - label_share) * followed + label_share * from_labels(logits)

    taught_by = None if teacher is None else _answers(teacher, x, channels)
    logits = _logits(model, x, channels)
    if taught_by is None:
        yield from_labels(logits) * full_share, logits
        taught_by = logits.detach()
    else:
        yield from_answers(logits, taught_by) * full_share, logits
    for subset in subsets:
        logits = _logits(model, _planes(x, channels.indices(subset)), subset)
        yield from_answers(logits, taught_by) * each_share, logits


def taught(
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    subset: ChannelSet,
    teacher: Callable[..., Tensor],
    *,
    channels: ChannelSet,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    label_share: float = 0.5,
) -> Iterator[Part]:
    """A trained teacher sees all planes, the model a subset of them, and learns the teacher's answers: one loss.

    Args:
        model: called ``model(x, channels=...)``.
        x: (N, C, H, W), all planes.
        labels: (N,).
        subset: what the model sees.
        teacher: called ``teacher(x, channels=...)``; gives logits (N, K) of all planes.
        channels: the names of the planes of ``x``.
        label_smoothing, temperature, label_share: as in `sandwich`.

    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.
    """
    taught_by = _answers(teacher, x, channels)
    logits = _logits(model, _planes(x, channels.indices(subset)), subset)
    yield distillation(logits, taught_by, labels, temperature, label_share, label_smoothing=label_smoothing), logits


def distillation(
    logits_NK: Tensor,
    teacher_NK: Tensor,
    labels_N: Tensor,
    temperature: float = 1.0,
    label_share: float = 0.0,
    *,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy with a teacher's softened answers, mixed with that of the labels; a scalar."""
    answers_NK = (teacher_NK / temperature).softmax(dim=1)
    loss = F.cross_entropy(logits_NK / temperature, answers_NK) * temperature**2
    if label_share == 0:
        return loss
    return (1 - label_share) * loss + label_share * F.cross_entropy(
        logits_NK, labels_N, label_smoothing=label_smoothing
    )


def _logits(model: nn.Module, x: Tensor, channels: ChannelSet, present: Tensor | None = None) -> Tensor:
    given = {} if present is None else {"present": present}
    logits: Tensor = model(x, channels=channels, **given)
    return logits.float()


@torch.no_grad()
def _answers(teacher: Callable[..., Tensor], x: Tensor, channels: ChannelSet) -> Tensor:
    return teacher(x, channels=channels).float()


def _planes(x_NCHW: Tensor, indices: Sequence[int]) -> Tensor:
    """Some planes, laid out in memory as all were; slices need no index on the device, which would be waited for."""
    last = x_NCHW.is_contiguous(memory_format=torch.channels_last)
    chosen_NSHW = torch.cat([x_NCHW[:, i : i + 1] for i in indices], dim=1)
    return chosen_NSHW.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
