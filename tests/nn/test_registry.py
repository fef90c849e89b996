"""The strategies as they describe themselves."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from anychan.nn import Promises, SlicedConv2d, describe_strategies, list_strategies, register_strategy
from anychan.nn import _registry as registry


def test_every_strategy_is_described_and_nothing_random_is_drawn():
    state = torch.random.get_rng_state()
    records = describe_strategies()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [record["name"] for record in records] == list_strategies()
    assert json.loads(json.dumps(records)) == records
    described = {record["name"]: record for record in records}
    assert described["sliced"]["summary"].startswith("a bank with one kernel for each channel, of which a call")
    assert described["sliced"]["foldable"]
    assert not described["sliced"]["unseen"]


def test_a_strategy_of_a_users_own_is_described_too(monkeypatch):
    monkeypatch.setattr(registry, "_STRATEGIES", {})
    module = sys.modules[__name__]
    own = register_strategy("by_hand")(type("ByHand", (SlicedConv2d,), {"__module__": __name__}))
    for text, summary in (
        ("By hand: written\nby hand. And more.", "written by hand"),
        ("Otherwise: written by hand.", "Otherwise: written by hand"),
        ("No point, and v1.5 inside", "No point, and v1.5 inside"),
        (None, ""),
    ):
        monkeypatch.setattr(module, "__doc__", text)
        assert describe_strategies()[0]["summary"] == summary
    assert own.__name__ == "ByHand"


def test_a_strategy_whose_options_have_no_default_is_refused(monkeypatch):
    monkeypatch.setattr(registry, "_STRATEGIES", {})

    class Gained(SlicedConv2d):
        def __init__(self, *conv2d_args, gain, rank, rate=1.0, **conv2d_options):
            super().__init__(*conv2d_args, **conv2d_options)

    with pytest.raises(ValueError, match="strategy 'gained' has options without a default, gain, rank: give each"):
        register_strategy("gained")(Gained)
    assert registry._STRATEGIES == {}

    class Informed(SlicedConv2d):
        uses_statistics = True

        def __init__(self, *conv2d_args, covariance, mean, **conv2d_options):  # mean: not of a covariance alone
            super().__init__(*conv2d_args, **conv2d_options)

    with pytest.raises(ValueError, match="strategy 'informed' has options without a default, mean: give each"):
        register_strategy("informed")(Informed)


def test_promises_are_those_of_a_model_that_is_not_trained(monkeypatch):
    own = {"__module__": __name__, "promises": property(lambda stem: Promises(exact=not stem.training))}
    monkeypatch.setattr(registry, "_STRATEGIES", {"dropped": type("Dropped", (SlicedConv2d,), own)})
    assert describe_strategies()[0]["exact"]
