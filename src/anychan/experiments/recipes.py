"""Recipes: experiments of the source documents, each as its page describes it, beside what it reported.

A recipe is a YAML file in ``recipes/``: settings that its runs share, its runs with theirs, figures that its source
reports of each (rates in percent), and how they differ from ours.

Its *fair twins* are there to compare systems with one another, not with their sources. A twin has its run's network,
strategy and their options (where a recipe's runs share a network, one for all), and else what `anychan train` does by
default, but on labels alone, in one pass a step: any-channel strategies see a random subset a batch (hierarchical
sampling) and keep batch statistics for each subset, plain networks see all channels. A source's own schedule,
augmentation, early stopping, pretrained weights and way to sample or drop channels are left out. Runs that differ in
nothing else are one run then, the first of them: of [004], v4, which is v2 with channels dropped, is v2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from anychan.experiments.settings import configuration, merged
from anychan.training.config import TrainConfig

RECIPES = files("anychan.experiments").joinpath("recipes")
# Settings that a recipe leaves to whoever runs it.
LEFT_OPEN = ("data", "bands", "epochs", "image_size", "seed", "cache_dir", "device", "precision", "skip_broken")
# What a fair twin takes from its run: what is compared, and not how it was trained.
_OWN = ("model", "model_options", "strategy", "strategy_options")
# An option of *sliced* that goes with how a source trained it: twins see subsets, and all that add up planes rescale,
# but for [000]'s, which draws its slices.
_OF_ITS_TRAINING = "rescale"
# What every fair twin has beside the defaults; these settle by strategy alone, not by a source's own sampling.
_SAME = {"objective.name": "labels"}
VALIDATION = "accuracy (validation)"
_SOURCES_DATA = (
    "What sources report is of mini-ImageNet, 50 classes: 63,325 images to train on, 450 to validate on and 450 to "
    "test on."
)

DIFFER_IN_MORE = "Each was trained as its source says, so two runs may differ in more than their system."
DIRTY = "Trained from a working tree with changes that no commit holds"


def alike(formats: Iterable[str | None]) -> str:
    """How alike fair twins were trained, by the number format of each; None where it was not recorded.

    Example:
        >>> alike(["float32", "float32", None]), alike(["float32", "bfloat16"])
        ('alike', 'alike but for the number format (its effect was not measured)')
    """
    known = {name for name in formats if name}
    return "alike" if len(known) < 2 else "alike but for the number format (its effect was not measured)"


def decimals(reported: Mapping[str, float | None]) -> int:
    """How many decimal places a source gives a figure with, by the subset that has most.

    Example:
        >>> decimals({"RGB": 11.1945, "R": 9.5}), decimals({"RGB": 333585408}), decimals({})
        (4, 0, 0)
    """
    return max((len(repr(value).partition(".")[2]) for value in reported.values() if value is not None), default=0)


@dataclass(frozen=True)
class Recipe:
    """An experiment of a source document.

    Args:
        name: of its file.
        title, source, note: what it is, where it is from, how its source made it.
        settings: what its runs share.
        runs: by name, each with its settings, and what was reported of it.
        differences: why ours cannot be the reported figures, those of fair twins neither.
        of_one: what was reported of one of several ``runs``, where it is not said of which.
    """

    name: str
    title: str
    source: str
    note: str
    settings: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]
    differences: str = ""
    of_one: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def read(cls, name: str) -> Recipe:
        """One that comes with anychan.

        Raises:
            ValueError: for a name there is not.

        Example:
            >>> Recipe.read("002-B").title
            'Three RRDBs'
        """
        if name not in list_recipes():
            raise ValueError(f"unknown recipe {name!r}; there are {', '.join(list_recipes())}")
        told = yaml.safe_load(RECIPES.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
        return cls(name=name, **told)

    def settings_of(self, run: str, fair: bool = False) -> dict[str, Any]:
        """The settings of a run, or of its fair twin.

        Raises:
            ValueError: for a run that the recipe does not have.

        Example:
            >>> Recipe.read("004-A").settings_of("v4", fair=True)["strategy"]
            'by_count'
        """
        if run not in self.runs:
            raise ValueError(f"recipe {self.name} has no run {run!r}; there are {', '.join(self.runs)}")
        own = self.runs[run]["settings"]
        if not fair:
            return merged(self.settings, own)
        one_network = merged(own, self.settings)  # stems are compared on the same body
        twin = merged({name: value for name, value in one_network.items() if name in _OWN}, _SAME)
        twin.get("strategy_options", {}).pop(_OF_ITS_TRAINING, None)
        return twin

    def names(self, fair: bool) -> list[str]:
        """Its runs, or those that have a fair twin of their own.

        Example:
            >>> Recipe.read("002-A").names(fair=True)
            ['plain', 'mixed, 10 epochs']
        """
        left_out = self.left_out if fair else {}
        return [name for name in self.runs if name not in left_out]

    def configurations(
        self,
        folder: Path,
        changes: Mapping[str, Any] | None = None,
        fair: bool = False,
        weights: Mapping[str, Path | str] | None = None,
    ) -> dict[str, TrainConfig]:
        """The runs' settings by name.

        Args:
            folder: where the runs go.
            changes: settings in place of the recipe's, such as ``data`` or fewer ``epochs``.
            fair: their fair twins, without those that are `left_out`.
            weights: by run, a file of pretrained weights in place of those that timm downloads.

        Raises:
            ValueError: for weights of a run that takes none, or settings that a run does not have.
        """
        found: dict[str, TrainConfig] = {}
        for name in self.names(fair):
            settings = self.settings_of(name, fair)
            file = (weights or {}).get(name) if settings.get("pretrained") else None
            settings = merged(settings, changes or {}, {} if file is None else {"pretrained": str(file)})
            seed = settings.get("seed", 0)
            out = folder / self.folder_of(name, fair, seed)
            found[name] = configuration(merged(settings, {"out": str(out)}))
        if unfit := sorted(name for name in weights or () if not (name in found and found[name].pretrained)):
            there = ", ".join(name for name, config in found.items() if config.pretrained) or "none"
            raise ValueError(
                f"recipe {self.label(fair)} has no run {unfit[0]!r} from pretrained weights; there are {there}"
            )
        return found

    def reported(self, run: str) -> Mapping[str, Mapping[str, float]]:
        """What the source reports of a run, by figure and subset; of most runs something."""
        found: Mapping[str, Mapping[str, float]] = self.runs[run].get("reported", {})
        return found

    def explained(self, fair: bool, changes: Mapping[str, Any]) -> list[str]:
        """What is to be said beside the figures of its runs: how they were made, and why they differ from the reported.

        How fair twins were made their own record says. Of ``changes`` what matters is the images' size: costs and times
        are of it.
        """
        own = self.settings["image_size"]
        used = changes.get("image_size", TrainConfig.image_size if fair else own)
        size = f"Our costs and times are of images of {used}x{used}; the recipe's are {own}x{own}."
        texts = [*([] if fair else [self.note]), *([size] if used != own else []), self.differences, _SOURCES_DATA]
        return [" ".join(text.split()) for text in texts]

    def splits(self, run: str) -> list[str]:
        """What a run is evaluated on: test, and validation where its source reports that."""
        return ["test", *(["val"] if VALIDATION in self.reported(run) else [])]

    @property
    def left_out(self) -> dict[str, str]:
        """The runs whose fair twin would be the same as that of a run before, with the name of that one."""
        twins = {name: self.settings_of(name, fair=True) for name in self.runs}
        first = {name: next(other for other in twins if twins[other] == twin) for name, twin in twins.items()}
        return {name: same for name, same in first.items() if same != name}

    @property
    def from_pretrained(self) -> list[str]:
        """The runs that start from pretrained weights."""
        return [name for name in self.runs if self.settings_of(name).get("pretrained")]

    def label(self, fair: bool) -> str:
        """What its files are called by."""
        return f"{self.name}-fair" if fair else self.name

    def folder_of(self, run: str, fair: bool, seed: int) -> str:
        """What a run's folder is called.

        Example:
            >>> Recipe.read("002-A").folder_of("mixed, 10 epochs", fair=True, seed=0)
            '002-A-fair-mixed-10-epochs-seed0'
        """
        return f"{self.label(fair)}-{re.sub('[, ]+', '-', run)}-seed{seed}"


def list_recipes() -> list[str]:
    """Names of the recipes that come with anychan, sorted."""
    return sorted(path.name.removesuffix(".yaml") for path in RECIPES.iterdir() if path.name.endswith(".yaml"))
