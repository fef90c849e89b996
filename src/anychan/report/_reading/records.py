"""What a run folder tells: what was trained, epoch by epoch, how it was evaluated, its pictures.

What is not there yet is None or empty, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from anychan.channels import ChannelSet
from anychan.evaluation.paired import named
from anychan.report._reading.commands import Again


@dataclass(frozen=True)
class Epoch:
    """One line of ``records.jsonl``; accuracies are shares of 1, a number that was not finite is None."""

    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    images_per_second: float | None
    seconds: float | None


@dataclass(frozen=True)
class Bin:
    """One bin of the calibration chart: ``count`` answers of this mean confidence and share of right ones."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class with ``support`` images."""

    name: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a latency, in milliseconds."""

    median: float
    q25: float
    q75: float


@dataclass(frozen=True)
class Cost:
    """What one image of these channels costs; latency is keyed by batch size, memory is bytes of the largest batch."""

    image_size: int | None
    parameters: int | None
    macs: int | None
    kernel_macs: int | None
    depth: int | None
    latency: Mapping[int, Spread]
    inference_bytes: int | None
    training_bytes: int | None
    device: str
    threads: int | None
    hardware: Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """The metrics of one subset of channels, ``fill`` naming the naive answer to missing channels ("": none).

    ``flips`` is the accuracy of answers from each image with its mirror image, of one run with its ``flips_interval``.
    ``left_out`` images have none of the channels, ``lacking`` of the ``n`` only some (0 where that was not recorded).
    ``right`` is a bit an image (see ``pack_right``), "" where it was not recorded; of pooled runs, ``rights`` and
    ``confusions`` have those of each. ``device`` and ``hardware`` are where it was answered, in ``inference_ms``; a
    cost has its own.
    """

    subset: str
    fill: str
    n: int
    accuracy: float
    interval: tuple[float, float]
    top5: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    calibration_error: float | None
    inference_ms: float | None
    retention: float | None
    calibration: tuple[Bin, ...]
    per_class: tuple[ClassScore, ...]
    confusion: Sequence[Sequence[int]]
    cost: Cost | None
    flips: float | None = None
    flips_interval: tuple[float, float] | None = None
    left_out: int = 0
    lacking: int = 0
    right: str = ""
    rights: tuple[str, ...] = ()
    confusions: tuple[Sequence[Sequence[int]], ...] = ()
    device: str = "cpu"
    hardware: Mapping[str, Any] = field(default_factory=dict)

    @property
    def macro_intervals(self) -> Mapping[str, tuple[float, float]]:
        """Those of ``precision``, ``recall`` and ``f1`` that the confusion matrix tells, if one was recorded."""
        from anychan.evaluation.intervals import macro_intervals

        return macro_intervals(self.confusions or [self.confusion]) if self.confusion else {}


@dataclass(frozen=True)
class Evaluation:
    """One split's evaluation record; ``images`` tells the very images from others: their fingerprint, if it is known,
    and ``model`` the weights that answered: their SHA-256, "" where no record says it.

    ``untold`` has, by channel and for each class, what of it the other channels do not tell (`evaluation.untold`).
    """

    split: str
    channels: ChannelSet
    classes: tuple[str, ...]
    images: str
    data: Mapping[str, Any]
    results: tuple[Result, ...]
    untold: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    model: str = ""

    def answered(self, model: str, images: str) -> bool:
        """Whether these weights answered these images; what an older record does not say ("") is taken to be so."""
        return model in ("", self.model) and images in ("", self.images)

    def size(self, result: Result) -> int:
        """The number of channels of a result's subset."""
        return len(ChannelSet.parse(result.subset, within=self.channels))

    @cached_property
    def full(self) -> Result | None:
        """The result on all channels, or None if that was not asked for."""
        whole = [r for r in self.results if not r.fill and self.size(r) == len(self.channels)]
        return whole[0] if whole else None

    @property
    def lacking(self) -> int:
        """How many images have only some of the channels that they were asked about."""
        return max((result.lacking for result in self.results), default=0)

    @property
    def has_subsets(self) -> bool:
        """Whether anything else than all channels was asked for."""
        return any(result is not self.full for result in self.results)


@dataclass(frozen=True)
class Picture:
    """A thumbnail with the answers to each subset, the likeliest first; drawings are the bytes of PNG or WebP files.

    Answers are keyed by the subset, or by the subset, a blank and the fill; ``pixels`` is None if the file is gone.
    ``activation`` has drawings of where the answer comes from, by subset. ``disputed``: it was chosen because its
    answer changes from subset to subset, and not by lot.
    """

    pixels: bytes | None
    path: str
    truth: str
    answers: Mapping[str, tuple[tuple[str, float], ...]]
    activation: Mapping[str, bytes] = field(default_factory=dict)
    disputed: bool = False


@dataclass(frozen=True)
class Kernels:
    """A drawing of a stem's kernels for a subset, as the bytes of its file."""

    subset: str
    pixels: bytes


@dataclass(frozen=True)
class Gap:
    """A difference from a base, its interval, and what is judged of it."""

    difference: float
    interval: tuple[float, float]
    verdict: str


@dataclass(frozen=True)
class Change:
    """One change of an ablation: its accuracy on all channels and on average over the subsets.

    ``gaps`` are its differences from the base: of the "mean" over the subsets, where there is one, and on the "full"
    set, over ``n`` images and the ``paired`` seeds, those of its own ``seeds`` that the base has too. ``half`` and
    ``one`` are the means over subsets of half of the run's own ``channels`` and over single ones, ``macs`` and
    ``latency`` what one image with all of them costs; None where it is not known.
    ``timed_on`` is the processor that the latency is of, "" where that was not recorded. ``strategy``, ``data``,
    ``image_size`` and ``epochs`` are the runs', "" or None where no settings were recorded, ``initial`` the run whose
    weights they began with, and ``but_for_channels`` tells their settings, but for the channels, from those of others.
    """

    name: str
    seeds: tuple[int, ...]
    full: float | None
    mean: float | None
    gaps: Mapping[str, Gap]
    errors: Mapping[str, str]
    paired: tuple[int, ...]
    channels: int | None = None
    half: float | None = None
    one: float | None = None
    macs: int | None = None
    latency: Spread | None = None
    timed_on: str = ""
    n: int | None = None
    strategy: str = ""
    data: str = ""
    image_size: int | None = None
    epochs: int | None = None
    initial: str = ""
    but_for_channels: str = ""


@dataclass(frozen=True)
class AblationRecord:
    """What ``anychan ablate`` found: the base first, then the changes.

    ``base`` is what was trained, in words, ``images`` how many of the split it is compared on, and ``note`` says where
    early stopping chose on these, "" if it did not. ``trained`` are the number formats and processors of its runs; of
    older records, which do not have them, ``processor`` is what the record was made on, "" where that was not recorded.
    ``again`` is how it is made again.
    """

    title: str
    base: str
    split: str
    note: str
    images: tuple[int, ...]
    seeds: tuple[int, ...]
    trained: tuple[str, ...]
    processor: str
    changes: tuple[Change, ...]
    again: Again


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same images of a split, with one subset of channels each: a paired test, and its verdict.

    ``a`` and ``b`` are the runs' paths as read, and their shortest names once ``told_apart``. ``p_holm`` is p corrected
    for all tests of the two runs; the verdict goes by it. ``models`` and ``images`` are as in ``Evaluation``.
    """

    split: str
    a: str
    b: str
    subset: str
    fill_a: str
    fill_b: str
    n: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    verdict: str
    models: tuple[str, str] = ("", "")
    images: str = ""

    @property
    def named_verdict(self) -> str:
        """The verdict with the run's name in place of a or b."""
        return named(self.verdict, self.a, self.b)


@dataclass(frozen=True)
class Specialist:
    """A run and the plain one that was trained for this subset alone, on the same images.

    ``right`` is the plain one's, a bit an image (see ``pack_right``), "" where it was not recorded. ``trained`` says in
    which number format on what the plain one was trained, "" where that was not recorded. ``path`` is the plain one's
    from the run's folder, which older records take for one beside it; ``model`` is as in ``Evaluation``.
    """

    subset: str
    name: str
    n: int
    accuracy: float
    specialist: float
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    verdict: str
    right: str = ""
    trained: str = ""
    path: str = ""
    model: str = ""


@dataclass(frozen=True)
class Specialists:
    """A run beside a specialist for each subset, and their mean with its interval; a cost not measured is None.

    ``seeds`` are those of the runs that it is the mean of, each beside specialists of its own, ``by_seed`` the mean
    difference of each; empty for one run.
    ``trained`` is the run's, see ``Specialist``; ``model`` and ``images`` are as in ``Evaluation``; ``known`` are the
    channels that the run knows, None where its evaluation is not there.
    """

    run: str
    split: str
    rows: tuple[Specialist, ...]
    accuracy: float
    specialist: float
    difference: float
    interval: tuple[float, float]
    parameters: tuple[int | None, int | None]
    passes: tuple[int | None, int | None]
    differs: tuple[str, ...]
    seeds: tuple[int, ...] = ()
    by_seed: tuple[float, ...] = ()
    trained: str = ""
    model: str = ""
    images: str = ""
    known: ChannelSet | None = None

    @property
    def full(self) -> Specialist | None:
        """The one for all channels; None where there is none."""
        known = self.known
        whole = (row for row in self.rows if known and len(ChannelSet.parse(row.subset, within=known)) == len(known))
        return next(whole, None)


@dataclass(frozen=True)
class Run:
    """All that a run folder tells; ``record`` is run.json as it stands, ``model`` model.json or empty.

    Pictures show answers to images of ``pictures_of``, a split; ``seconds`` is the wall time of training. ``pooled``
    are the runs, with different seeds, that this one stands for. ``outdated`` are splits on which it was held against
    specialists before it was evaluated as it is now; these are left out.
    """

    folder: Path
    name: str
    status: str
    record: Mapping[str, Any]
    model: Mapping[str, Any]
    config: str
    epochs: tuple[Epoch, ...]
    evaluations: Mapping[str, Evaluation]
    pictures: tuple[Picture, ...]
    pictures_of: str
    seconds: float | None
    comparisons: tuple[Comparison, ...]
    specialists: tuple[Specialists, ...] = ()
    kernels: tuple[Kernels, ...] = ()
    pooled: tuple[Run, ...] = ()
    outdated: tuple[str, ...] = ()

    @property
    def seed(self) -> int | None:
        return self.record.get("seed")

    @property
    def each_seed(self) -> tuple[Run, ...]:
        """The runs that this one stands for: those pooled, or itself."""
        return self.pooled or (self,)

    @property
    def configuration(self) -> Mapping[str, Any]:
        """Its settings; empty where none were recorded."""
        return self.record.get("config") or {}

    @property
    def architecture(self) -> str:
        """The network's name; "" where none was recorded."""
        return str(self.model.get("architecture") or self.configuration.get("model") or "")

    @property
    def strategy(self) -> str:
        """The stem's; "" where none was recorded."""
        return str(self.model.get("strategy") or self.configuration.get("strategy") or "")

    def on(self, split: str | None) -> Evaluation | None:
        """The evaluation on a split, or None."""
        return None if split is None else self.evaluations.get(split)
