"""Objectives: what is taught by what, against formulas written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from anychan.channels import ChannelSet
from anychan.training.objectives import cross_entropy, distillation, sandwich, taught

RGB = ChannelSet.parse("RGB")
X = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 1])


class Sums(nn.Module):
    """Logits from the sums of the planes that are there, one weight vector a channel; notes its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5, generator=torch.Generator().manual_seed(1)))
        self.calls: list[str] = []

    def forward(self, x: Tensor, channels: ChannelSet, present: Tensor | None = None) -> Tensor:
        self.calls.append(str(channels))
        planes = x.sum(dim=(2, 3)) if present is None else x.sum(dim=(2, 3)).where(present, 0)
        return planes @ self.weight[list(RGB.indices(channels))]


class Teacher:
    """Answers with the sums of the planes; notes what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[torch.Size, ChannelSet]] = []

    def __call__(self, x: Tensor, channels: ChannelSet) -> Tensor:
        self.seen.append((x.shape, channels))
        return x.sum(dim=(2, 3)) @ torch.eye(3, 5)


def answer(model: Sums, names: str) -> Tensor:
    index = list(RGB.indices(names))
    return X[:, index].sum(dim=(2, 3)) @ model.weight[index]


def labels_loss(logits: Tensor, smoothing: float) -> Tensor:
    """Label smoothing written out: a share of the probability goes to all classes alike."""
    target = torch.full_like(logits, smoothing / 5)
    target[torch.arange(4), LABELS] += 1 - smoothing
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


def softened(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    answers = (teacher / temperature).exp() / (teacher / temperature).exp().sum(dim=1, keepdim=True)
    return -(answers * (logits / temperature).log_softmax(dim=1)).sum(dim=1).mean() * temperature**2


def test_the_labels_alone() -> None:
    model = Sums()
    ((loss, logits),) = cross_entropy(model, X[:, [0, 2]], LABELS, RGB.subset("RB"), label_smoothing=0.1)
    torch.testing.assert_close(loss, labels_loss(answer(model, "RB"), 0.1))
    torch.testing.assert_close(logits, answer(model, "RB"))
    present = torch.tensor([[True, False, True]] * 4)
    ((loss, _),) = cross_entropy(model, X, LABELS, RGB, present=present)
    torch.testing.assert_close(loss, labels_loss(answer(model, "RB"), 0.0))


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 0.0), (2.0, 0.0), (2.0, 0.25), (1.0, 1.0)])
def test_in_a_sandwich_the_full_set_learns_labels_and_teaches_the_others(temperature: float, share: float) -> None:
    model = Sums()
    options = {"label_smoothing": 0.1, "temperature": temperature, "label_share": share}
    parts = list(sandwich(model, X, LABELS, [RGB.subset("B"), RGB.subset("GR")], channels=RGB, **options))
    assert model.calls == ["RGB", "B", "GR"]
    teacher = answer(model, "RGB").detach()
    expected = [labels_loss(answer(model, "RGB"), 0.1)]
    for names in ("B", "GR"):
        logits = answer(model, names)
        expected.append((1 - share) * softened(logits, teacher, temperature) + share * labels_loss(logits, 0.1))
    for (loss, _), part in zip(parts, expected, strict=True):
        torch.testing.assert_close(loss, part / 3)


@pytest.mark.parametrize(("names", "shares"), [(("B", "GR"), (0.6, 0.2, 0.2)), ((), (1.0,))])
def test_the_full_set_has_a_share_of_its_own(names: tuple[str, ...], shares: tuple[float, ...]) -> None:
    model, subsets = Sums(), [RGB.subset(name) for name in names]
    equal = list(sandwich(model, X, LABELS, subsets, channels=RGB))
    unequal = list(sandwich(model, X, LABELS, subsets, channels=RGB, full_share=0.6))
    for (loss, _), (other, _), share in zip(equal, unequal, shares, strict=True):
        torch.testing.assert_close(other, loss * len(shares) * share)


def test_a_trained_teacher_of_a_sandwich_teaches_the_full_set_too() -> None:
    model, teacher = Sums(), Teacher()
    options: dict[str, Any] = {"temperature": 3.0, "label_share": 0.25, "label_smoothing": 0.1}
    parts = list(sandwich(model, X, LABELS, [RGB.subset("G")], channels=RGB, teacher=teacher, **options))
    assert (teacher.seen, model.calls) == ([(X.shape, RGB)], ["RGB", "G"])
    answers = teacher(X, RGB)
    for loss, logits in parts:
        expected = 0.75 * softened(logits, answers, 3.0) + 0.25 * labels_loss(logits, 0.1)
        torch.testing.assert_close(loss, expected / 2)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_other_tasks_have_losses_of_their_own(share: float) -> None:
    model, several = Sums(), torch.rand(4, 5, generator=torch.Generator().manual_seed(2))
    own: dict[str, Any] = {"loss": nn.functional.mse_loss, "distil": nn.functional.l1_loss, "label_share": share}
    full, subset = (part for part, _ in sandwich(model, X, several, [RGB.subset("B")], channels=RGB, **own))
    torch.testing.assert_close(full, (answer(model, "RGB") - several).square().mean() / 2)
    one, labels = answer(model, "B"), (answer(model, "B") - several).square().mean()
    follows = (one - answer(model, "RGB").detach()).abs().mean()
    torch.testing.assert_close(subset, ((1 - share) * follows + share * labels) / 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": nn.functional.mse_loss}, "loss and distil go together"),
        ({"distil": nn.functional.mse_loss}, "loss and distil go together"),
        ({"loss": nn.functional.mse_loss, "distil": nn.functional.mse_loss, "temperature": 2.0}, "leave them out"),
    ],
)
def test_losses_that_do_not_go_together_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(sandwich(Sums(), X, LABELS, [], channels=RGB, **options))


def test_the_teacher_is_not_moved_by_those_it_teaches() -> None:
    model = Sums()
    parts = sandwich(model, X, LABELS, [RGB.subset("B")], channels=RGB)
    next(parts)
    loss, _ = next(parts)
    loss.backward()
    assert model.weight.grad is not None
    assert not model.weight.grad[:2].any()
    assert model.weight.grad[2].any()


def test_one_pass_at_a_time() -> None:
    model = Sums()
    parts = sandwich(model, X, LABELS, [RGB.subset("B")], channels=RGB)
    next(parts)
    assert model.calls == ["RGB"]


def test_a_trained_teacher_sees_all_planes() -> None:
    model, teacher = Sums(), Teacher()
    ((loss, logits),) = taught(
        model, X, LABELS, RGB.subset("G"), teacher, channels=RGB, temperature=3.0, label_share=0.5
    )
    assert (teacher.seen, model.calls) == ([(X.shape, RGB)], ["G"])
    expected = softened(logits, teacher(X, RGB), 3.0) + labels_loss(logits, 0.0)
    torch.testing.assert_close(loss, expected / 2)


def test_equal_answers_cost_their_entropy() -> None:
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
    entropy = torch.distributions.Categorical(logits=logits).entropy().mean()
    torch.testing.assert_close(distillation(logits, logits, LABELS), entropy)


def test_a_subset_is_laid_out_as_the_whole() -> None:
    class Layout(Sums):
        def forward(self, x: Tensor, channels: ChannelSet, present: Tensor | None = None) -> Tensor:
            layouts.append(x.is_contiguous(memory_format=torch.channels_last))
            return super().forward(x, channels, present)

    for last in (True, False):
        layouts: list[bool] = []
        x = X.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        list(sandwich(Layout(), x, LABELS, [RGB.subset("RB")], channels=RGB))
        assert layouts == [last, last]
