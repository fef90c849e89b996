"""Channel sampling: the distributions, by chi-square tests with fixed seeds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from anychan.channels import ChannelSet
from anychan.training import sample_channels, sample_smaller

RGB = ChannelSet.parse("RGB")
BANDS = ChannelSet(["B02", "B03", "B04", "B08"])
DRAWS = 6000


def draw(channels: ChannelSet, how: Any, **options: Any) -> Counter[str]:
    generator = torch.Generator().manual_seed(7)
    return Counter(str(sample_channels(channels, how, generator, **options)) for _ in range(DRAWS))


def p_value(counts: Counter[str], expected: dict[str, float]) -> float:
    from scipy.stats import chisquare

    assert set(counts) <= set(expected)
    return float(chisquare([counts[name] for name in expected], [DRAWS * share for share in expected.values()]).pvalue)


@pytest.mark.parametrize("channels", [RGB, BANDS])
def test_hierarchical_draws_a_size_then_channels(channels: ChannelSet) -> None:
    sizes = Counter(len(subset) for subset in channels.subsets())
    expected = {str(subset): 1 / len(channels) / sizes[len(subset)] for subset in channels.subsets()}
    assert p_value(draw(channels, "hierarchical"), expected) > 0.01


@pytest.mark.parametrize("probability", [0.3, 0.5])
def test_bernoulli_keeps_each_channel_and_never_none(probability: float) -> None:
    subsets = {
        str(subset): probability ** len(subset) * (1 - probability) ** (3 - len(subset)) for subset in RGB.subsets()
    }
    some = sum(subsets.values())
    expected = {name: share / some for name, share in subsets.items()}
    assert p_value(draw(RGB, "bernoulli", probability=probability), expected) > 0.01
    assert draw(RGB, "bernoulli", probability=1.0) == {"RGB": DRAWS}


def test_diverse_draws_channels_that_differ_together() -> None:
    correlation = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, -0.5], [0.1, -0.5, 1.0]])
    chance = (
        torch.tensor([[0.9, 0.1], [0.9, 0.5], [0.1, 0.5]]).double().neg().div(0.2).softmax(dim=1).tolist()
    )  # of the others
    pair = {
        "RG": chance[0][0] + chance[1][0],
        "RB": chance[0][1] + chance[2][0],
        "GB": chance[1][1] + chance[2][1],
    }
    expected = {"RGB": 1 / 3, "R": 1 / 9, "G": 1 / 9, "B": 1 / 9, **{name: p / 9 for name, p in pair.items()}}
    assert p_value(draw(RGB, "diverse", correlation=correlation, temperature=0.2), expected) > 0.01


@pytest.mark.parametrize(("channels", "count"), [(RGB, 1), (RGB, 2), (BANDS, 2), (BANDS, 3), (BANDS, 5)])
def test_a_sandwich_has_one_channel_alone_and_other_sizes(channels: ChannelSet, count: int) -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = [sample_smaller(channels, count, generator) for _ in range(DRAWS)]
    assert all(len(subsets) == count for subsets in drawn)
    assert all(0 < len(subset) < len(channels) for subsets in drawn for subset in subsets)
    sizes = [sorted(len(subset) for subset in subsets) for subsets in drawn]
    if count > 1:
        assert all(len(subsets[0]) == 1 for subsets in drawn)
        assert all(len(set(found)) == min(count, len(channels) - 1) for found in sizes)
    seen = Counter(str(subset) for subsets in drawn for subset in subsets)
    assert set(seen) == {str(subset) for subset in channels.subsets()[1:]}
    singles = [seen[name] for name in channels.names]
    from scipy.stats import chisquare

    assert chisquare(singles).pvalue > 0.01


@pytest.mark.parametrize("channels", [RGB, BANDS])
def test_a_sandwich_with_unseen_subsets_is_otherwise_the_same(channels: ChannelSet) -> None:
    unseen = {frozenset(channels.names[:1]), frozenset(channels.names[1:])}
    for seed in range(60):
        without, drawn = (
            sample_smaller(channels, 2, torch.Generator().manual_seed(seed), *more) for more in ((), (unseen,))
        )
        assert not unseen & {frozenset(subset.names) for subset in drawn}
        assert [len(subset) for subset in drawn] == [len(subset) for subset in without]
        if not unseen & {frozenset(subset.names) for subset in without}:
            assert drawn == without


@pytest.mark.parametrize(
    ("unseen", "drawn"), [(["R", "G", "B"], {"RG", "RB", "GB"}), (["G", "B", "RG", "RB", "GB"], {"R"})]
)
def test_a_sandwich_takes_what_sizes_there_are(unseen: list[str], drawn: set[str]) -> None:
    """And repeats a subset only where there is no other."""
    generator, left_out = torch.Generator().manual_seed(0), {frozenset(names) for names in unseen}
    found = [set(map(str, sample_smaller(RGB, 2, generator, left_out))) for _ in range(40)]
    assert set.union(*found) == drawn
    assert {len(subsets) for subsets in found} == {min(2, len(drawn))}


def test_a_sandwich_needs_two_channels_and_a_subset() -> None:
    with pytest.raises(ValueError, match="there must be 2 channels"):
        sample_smaller(RGB.subset("R"), 2, torch.Generator())
    with pytest.raises(ValueError, match="0 smaller subsets"):
        sample_smaller(RGB, 0, torch.Generator())
    with pytest.raises(ValueError, match="every subset below RG is unseen"):
        sample_smaller(RGB.subset("RG"), 2, torch.Generator(), [frozenset("R"), frozenset("G")])


def test_all_and_fixed_draw_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert sample_channels(RGB, "all", generator) is RGB
    assert str(sample_channels(RGB, "fixed", generator, fixed="BR")) == "BR"
    assert torch.equal(generator.get_state(), before)


def test_a_draw_keeps_what_is_known_of_the_channels() -> None:
    described = RGB.with_statistics([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])
    subset = sample_channels(described, "hierarchical", torch.Generator().manual_seed(3))
    assert all(channel in list(described) for channel in list(subset))


@pytest.mark.parametrize(
    ("how", "options", "words"),
    [
        ("some", {}, "unknown channel sampling 'some'"),
        ("bernoulli", {"probability": 0.0}, "not 0.0"),
        ("fixed", {}, "needs a fixed subset"),
        ("diverse", {}, "needs a correlation of 3 channels, not None"),
        ("diverse", {"correlation": torch.eye(2)}, r"not \(2, 2\)"),
        ("diverse", {"correlation": torch.eye(3), "temperature": 0.0}, "must be above 0, not 0.0"),
        ("fixed", {"fixed": "RX"}, "unknown channel"),
    ],
)
def test_what_cannot_be_drawn_is_refused(how: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sample_channels(RGB, how, torch.Generator(), **options)
