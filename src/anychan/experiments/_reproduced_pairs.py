"""Runs beside one another: each two of a recipe's runs, or of its fair twins, on the test images that both answered."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from anychan.channels import ChannelSet
from anychan.evaluation._folder import read_record
from anychan.evaluation.holm import corrected
from anychan.evaluation.paired import Paired
from anychan.evaluation.predictions import unpack_right
from anychan.training import TrainConfig

# By channel names, of each subset: its name, how many images it left out, and which of the others are right.
_Answers = dict[frozenset[str], tuple[str, int, Any]]
_SPLIT = "test"


def pairs_of(configs: Mapping[str, TrainConfig]) -> list[dict[str, Any]]:
    """Exact McNemar tests of each two runs, in the order of the runs and of the subsets that both answer by themselves.

    Args:
        configs: of runs that were evaluated on test, by name; those with other images are not compared.

    Returns:
        What `Paired.to_dict` holds, with ``a``, ``b`` and ``subset``, and with ``p_holm``, which the verdict goes by:
        corrected by Holm for the subsets of the two runs.
    """
    answers = {name: found for name, config in configs.items() if (found := _answers(config))}
    images = {name: _images(configs[name]) for name in answers}
    pairs: list[dict[str, Any]] = []
    for a, b in combinations(answers, 2):
        if images[a] != images[b]:
            continue
        tests = []
        for names, (subset, left_out, right) in answers[a].items():
            _, others_left_out, others_right = answers[b].get(names, ("", 1, None))
            if not left_out and not others_left_out:  # else they may be about other images, as many
                tests.append({"a": a, "b": b, "subset": subset, **Paired.of(right, others_right).to_dict()})
        pairs += corrected(tests)
    return pairs


def untested(configs: Mapping[str, TrainConfig]) -> str:
    """Which runs are compared with no other, and why; empty if there is none, or one run alone."""
    if len(configs) < 2:
        return ""
    told = [name for name, config in configs.items() if not _answers(config)]
    said = [f"{', '.join(told)}: no record of which images are right, so not tested against others"] if told else []
    by_images: dict[str, list[str]] = {}
    for name in configs.keys() - {*told}:
        by_images.setdefault(_images(configs[name]), []).append(name)
    if len(by_images) > 1:
        groups = sorted(", ".join(sorted(names)) for names in by_images.values())
        said.append(f"{' and '.join(groups)}: evaluated on other test images, so not tested against each other")
    return "; ".join(said)


def _images(config: TrainConfig) -> str:
    return str(read_record(config.out, _SPLIT)["data"]["fingerprints"][_SPLIT])


def _answers(config: TrainConfig) -> _Answers:
    record = read_record(config.out, _SPLIT)
    known = ChannelSet.from_dict(record["channels"])
    return {
        frozenset(known.subset(row["subset"]).names): (
            row["subset"],
            row.get("left_out", 0),  # older records do not say
            unpack_right(row["right"], row["n"]),
        )
        for row in record["results"]
        if not row["fill"] and "right" in row  # nor do the oldest say this
    }
