"""Which channel sets and fills an evaluation asks about."""

from __future__ import annotations

import dataclasses

import pytest

from anychan.channels import Channel, ChannelSet
from anychan.evaluation.questions import list_questions, own_subsets
from anychan.models import ModelInfo

RGB = ChannelSet.parse("RGB")
ALL = ["RGB", "RG", "RB", "GB", "R", "G", "B"]


def names(questions: list[tuple[ChannelSet, str]]) -> list[tuple[str, str]]:
    return [(str(subset), fill) for subset, fill in questions]


def test_all_is_every_subset_once() -> None:
    assert names(list_questions(RGB, "sliced", "all")) == [(subset, "") for subset in ALL]
    assert names(list_questions(RGB, "sliced", ["all", "RG"])) == [(subset, "") for subset in ALL]


def test_a_plain_model_answers_the_full_set_itself_and_the_rest_with_fills() -> None:
    questions = names(list_questions(RGB, "plain", "all", ["mean", "zeros", "zeros"]))
    assert questions == [("RGB", "")] + [(subset, fill) for subset in ALL[1:] for fill in ("zeros", "mean")]
    assert names(list_questions(RGB, "plain", "RGB")) == [("RGB", "")]


def test_an_any_channel_model_answers_itself_and_with_fills() -> None:
    assert names(list_questions(RGB, "sliced", ["B", "RGB"], ["zeros"])) == [("RGB", ""), ("B", ""), ("B", "zeros")]


def test_unless_named_a_model_is_asked_about_what_it_answers() -> None:
    bands = ChannelSet([f"B{i}" for i in range(9)]).with_statistics([0.5] * 9, [0.2] * 9)
    info = ModelInfo("wide4", 2, "sliced", bands, ("a", "b"), 16)
    assert own_subsets(info) == [str(subset) for subset in bands.some_subsets()]
    kept = dataclasses.replace(info, kept_subsets=("B1", "B0,B1"))
    assert own_subsets(kept) == ["B0,B1", "B1"]
    foreign = dataclasses.replace(info, kept_subsets=(ChannelSet([Channel("X", 2.0)]),))
    assert own_subsets(foreign) == own_subsets(info)
    plain = dataclasses.replace(info, strategy="plain")
    assert own_subsets(plain) == [str(bands)]
    assert own_subsets(plain, filled=True) == own_subsets(info)


def test_channel_sets_are_put_in_order() -> None:
    assert names(list_questions(RGB, "sliced", ["B", "GR", "RG", "BGR"])) == [("RGB", ""), ("RG", ""), ("B", "")]


def test_order_is_that_of_subsets_for_any_channels() -> None:
    bands = ChannelSet(["B02", "B03", "B04", "B08"])
    specs = [str(subset) for subset in reversed(bands.subsets())]
    assert [subset for subset, _ in list_questions(bands, "sliced", specs)] == bands.subsets()


def test_all_of_more_than_eight_channels_is_refused() -> None:
    nine = ChannelSet([f"B{i}" for i in range(9)])
    with pytest.raises(ValueError, match="511; 'all' goes up to 8 channels: take 'some', or give a list"):
        list_questions(nine, "sliced", "all")
    assert [subset for subset, _ in list_questions(nine, "sliced", "some")] == nine.some_subsets()
    assert len(list_questions(nine[:8], "sliced", "all")) == 255
    assert names(list_questions(nine, "sliced", ["B0,B8"])) == [("B0,B8", "")]


@pytest.mark.parametrize(
    ("strategy", "channels", "fills", "match"),
    [
        ("plain", "all", None, "name --fill"),
        ("plain", ["RG"], [], "takes all of RGB, not RG"),
        ("sliced", [], None, "no channels"),
        ("sliced", ["R,NIR"], None, "'NIR'"),
        ("sliced", ["RG"], ["median"], "'median'"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    strategy: str, channels: str | list[str], fills: list[str] | None, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        list_questions(RGB, strategy, channels, fills)
