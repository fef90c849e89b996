"""Does a file answer as the model does? Asked of every channel count, several batches and sizes, as it was written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anychan.adaptation import AnyChannelModel
from anychan.channels import ChannelSet
from anychan.exporting._formats import Run

TOLERANCE = 1e-4
_BATCHES = (1, 3, 32)


class CheckFailedError(RuntimeError):
    """A file that was written does not answer as the model does; it was removed."""


@dataclass(frozen=True)
class Checked:
    """What a comparison of two ways to run a model found.

    Args:
        calls: how often both were asked.
        images: about how many images together.
        difference: the largest between two logits.
        largest: the largest logit of the first of both, whatever its sign.
        same_class: images to which both give the same class.
    """

    calls: int
    images: int
    difference: float
    largest: float
    same_class: int

    @property
    def allowed(self) -> float:
        """The difference that rounding may make: 1e-4, or that share of the largest logit if that is above 1."""
        return TOLERANCE * max(1.0, self.largest)

    def to_dict(self) -> dict[str, Any]:
        """A record that JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        agreement = f"same class for {self.same_class} of {self.images} images"
        return f"{agreement} in {self.calls} calls, logits differ by {self.difference:.2g} at most"


@dataclass(frozen=True)
class Question:
    """One call of a model: its planes, and the channels they are of."""

    channels: ChannelSet
    image: Tensor
    places: Tensor | None  # of the channels in the model's set, where the file asks for them

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return (self.image,) if self.places is None else (self.image, self.places)


def questions(
    known: ChannelSet, subsets: Sequence[ChannelSet], sizes: Sequence[tuple[int, int]], one_set: bool
) -> Iterator[Question]:
    """Every subset once; of every channel count one with batches of 1, 3 and 32 images of each size.

    Args:
        known: the model's channels.
        subsets: those the file takes, or the planes of a file of one channel set, in their order.
        sizes: heights and widths.
        one_set: whether the file takes one channel set only.
    """
    by_count = {len(subset): subset for subset in subsets}
    asked = [
        *((subset, 1, sizes[0]) for subset in subsets if subset not in by_count.values()),
        *itertools.product(by_count.values(), _BATCHES, sizes),
    ]
    generator = torch.Generator().manual_seed(0)
    for subset, batch, size in asked:
        image = _image((batch, len(subset), *size), generator)
        if one_set:
            yield Question(subset, image, None)
        else:  # the planes in any order
            order = torch.randperm(len(subset), generator=generator).tolist()
            shuffled = ChannelSet(subset[i] for i in order)
            yield Question(shuffled, image, torch.tensor(known.indices(shuffled.names)))


def compare(reference: Run, run: Run, asked: Sequence[Question]) -> Checked:
    """Ask two ways to run a model the same questions; ``reference`` is given a question's channels by name."""
    difference, largest, images, same = 0.0, 0.0, 0, 0
    for question in asked:
        expected = reference(question)
        got = run(*question.inputs)
        if got.shape != expected.shape:
            raise CheckFailedError(f"logits have the shape {tuple(got.shape)}, not {tuple(expected.shape)}")
        if not (got.isfinite().all() and expected.isfinite().all()):
            raise CheckFailedError(f"some logits are not finite, for {question.channels}")
        difference = max(difference, float((got - expected).abs().max()))
        largest = max(largest, float(expected.abs().max()))
        images += len(got)
        same += int((got.argmax(dim=1) == expected.argmax(dim=1)).sum())
    return Checked(len(asked), images, difference, largest, same)


def check(model: AnyChannelModel, run: Run, asked: Sequence[Question], subsets: Sequence[ChannelSet]) -> Checked:
    """Compare a file with the model it was made from.

    Raises:
        CheckFailedError: if logits differ by more than `Checked.allowed`, a class differs, or a file of all subsets
            answers a call that names no subset that it has.
    """
    found = compare(answers_of(model), run, asked)
    if found.difference > found.allowed or found.same_class < found.images:
        raise CheckFailedError(f"the file does not answer as the model does, within {found.allowed:.3g}: {found}")
    if asked[0].places is not None:
        for image, places in _unanswerable(model.channels, subsets, asked[0].image):
            try:
                answer = run(image, places)
            except CheckFailedError:
                if image.shape[1] == len(places):
                    raise  # where NaN is promised
            else:
                if not answer.isnan().all():
                    what = f"{image.shape[1]} plane(s) called {places.tolist()}"
                    raise CheckFailedError(f"the file answers for {what}, which are no subset it has")
    return found


def answers_of(model: AnyChannelModel) -> Run:
    """A function that asks the model itself a question."""

    def ask(question: Question) -> Tensor:
        with torch.no_grad():
            return model(question.image, channels=question.channels)

    return ask


def _unanswerable(known: ChannelSet, subsets: Sequence[ChannelSet], image: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Calls not to be answered: unknown planes, one that stands twice, a subset without a row, too many, too few."""
    plane = image[:1, :1]
    first = torch.tensor(known.indices(subsets[0].names))
    yield plane, torch.tensor([len(known)])
    yield plane, torch.tensor([-1])
    if len(known) > 1:
        yield _planes(plane, 2), first[[0, 0]]
    yield _planes(plane, len(first) + 1), first
    if len(first) > 1:
        yield plane, first
    there = {frozenset(subset.names) for subset in subsets}
    missing = next((c for c in known if frozenset({c.name}) not in there), None)
    if missing is not None:
        yield plane, torch.tensor(known.indices([missing.name]))


def _planes(plane: Tensor, count: int) -> Tensor:
    return plane.expand(-1, count, -1, -1).contiguous()


def _image(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Images in normalised units with large and small structure, so that they are told apart."""
    coarse = torch.randn(*shape[:2], 3, 3, generator=generator)
    fine = torch.randn(shape, generator=generator)
    return F.interpolate(coarse, size=shape[2:], mode="bilinear") + 0.3 * fine
