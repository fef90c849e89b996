"""The whole profile as a record and as a table."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

import anychan
from anychan import Channel, adapt, specialize
from anychan.adaptation import keep_statistics, replace_batch_norm
from anychan.blocks import BranchedConv2d, DeepenedConv2d, FoldableConv2d
from anychan.cost import Latency, Memory, Profile, count_macs, depth, measure_memory, profile
from anychan.cost._folded import as_shipped
from anychan.models import create_model


def _body() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


def test_record_of_an_adapted_model() -> None:
    body = _body()
    body(torch.zeros(1, 3, 8, 8))
    model = adapt(body, statistics=torch.eye(3) + 0.5)
    record = profile(model, "RG", image_size=8, batch_size=4, repeats=3).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert set(record) == {
        *("channels", "image_size", "parameters", "macs", "kernel_macs", "depth", "latency_ms", "memory"),
        *("device", "hardware", "threads"),
    }
    macs = count_macs(model, "RG", 8)
    assert (record["channels"], record["image_size"], record["depth"]) == ("RG", 8, 2)
    assert (record["macs"], record["kernel_macs"]) == (macs.forward, macs.kernel)
    assert set(record["latency_ms"]) == {"1", "4"}
    assert all(times["q25"] <= times["median"] <= times["q75"] for times in record["latency_ms"].values())
    assert 0 < record["memory"]["inference_bytes"] < record["memory"]["training_bytes"]


def test_channels_that_a_model_was_not_made_with_are_costed_where_it_takes_them() -> None:
    unseen = [Channel("R"), Channel("B8A", 0.865)]
    spectral = create_model("wide4", "RGB", 3, "spectral", model_options={"width": 4})
    assert count_macs(spectral, unseen, 16) == count_macs(spectral, "RG", 16)
    assert depth(spectral, unseen, 16) == depth(spectral, "RG", 16)
    pooled = create_model("wide4", "RGB", 3, "pooled", model_options={"width": 4})
    planes = [str(i) for i in range(5)]
    assert profile(pooled, planes, image_size=16, batch_size=2, repeats=1).channels == "0,1,2,3,4"


def test_table_gives_units_in_aligned_lines() -> None:
    latency = {1: Latency(2.5, 2.25, 3.0), 32: Latency(50.0, 49.0, 52.0)}
    hardware = {"cpu": "a processor", "gpu": None}
    memory = Memory(3 * 2**20, 5 * 2**20)
    found = Profile("RG", 64, 11_202_162, 144_860_160, 6272, 18, latency, memory, "cpu", hardware, 2)
    assert found.table().splitlines() == [
        "channels               RG",
        "image size             64 x 64",
        "parameters             11.2 M",
        "MACs, one image        144.9 M",
        "MACs, making kernels   6.272 k, once a call",
        "depth                  18 weighted layers",
        "latency, batch of 1    2.50 ms (quartiles 2.25 to 3.00)",
        "latency, batch of 32   50.00 ms (quartiles 49.00 to 52.00)",
        "memory, inference      3.0 MiB, batch of 32",
        "memory, training step  5.0 MiB, batch of 32",
        "device                 cpu (a processor, threads: 2)",
    ]


@pytest.mark.parametrize("strategy", ["plain", "sliced", "attentive"])
@pytest.mark.parametrize("options", [{"branches": [1, [1, 3]]}, {"deepened": True}])
def test_what_becomes_one_convolution_is_costed_as_one(strategy: str, options: dict[str, Any]) -> None:
    model = create_model("wide4", "RGB", 6, strategy, model_options={"width": 4, **options})
    for module in model.modules():
        if isinstance(module, DeepenedConv2d):
            module.anneal(1.0)
    found = profile(model, image_size=16, batch_size=2, repeats=1)
    plain = create_model("wide4", "RGB", 6, strategy, model_options={"width": 4})
    expected = profile(plain, image_size=16, batch_size=2, repeats=1)
    assert (found.macs, found.parameters, found.depth) == (expected.macs, expected.parameters, expected.depth)
    assert count_macs(model, image_size=16).forward > found.macs
    assert found.memory.inference_bytes == expected.memory.inference_bytes
    assert found.memory.training_bytes == measure_memory(model, None, 16, 2).training_bytes
    assert found.memory.training_bytes > expected.memory.training_bytes


def test_statistics_of_a_subset_are_folded_with_the_branches() -> None:
    model = create_model("wide4", "RGB", 6, "sliced", model_options={"width": 4, "branches": [1]}).eval()
    keep_statistics(model, ["RGB", "RG"])
    x = torch.randn(5, 2, 16, 16)
    with torch.no_grad():
        model.train()(x, channels="RG")
        expected, folded = model.eval()(x, channels="RG"), as_shipped(model, "RG")
        torch.testing.assert_close(folded(x, channels="RG"), expected, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, FoldableConv2d) for module in folded.modules())
    with pytest.raises(ValueError, match="no normalisation statistics for G"):
        as_shipped(model, "G")
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert as_shipped(body) is body


@pytest.mark.parametrize("options", [{"branches": [1]}, {"deepened": True, "branches": [1]}])
def test_a_block_with_group_normalisation_stays_and_is_costed_as_it_is(options: dict[str, Any]) -> None:
    made = {"width": 4, **options}
    model = create_model("wide4", "RGB", 6, "sliced", model_options=made).eval()
    replace_batch_norm(model.body, "group")  # create_model refuses it to deepened networks
    for module in model.modules():
        if isinstance(module, DeepenedConv2d):
            module.anneal(1.0)
    x = torch.randn(3, 2, 16, 16)
    assert profile(model, "RG", image_size=16, batch_size=2, repeats=1).macs == count_macs(model, "RG", 16).forward
    torch.testing.assert_close(specialize(model, "RG")(x), model(x, channels="RG"), rtol=1e-4, atol=1e-5)


def test_a_block_of_any_channel_convolutions_is_left() -> None:
    model = adapt(nn.Sequential(BranchedConv2d(3, 4, [3])), "RGB", "sliced")
    assert profile(model, "RG", image_size=4, batch_size=2, repeats=1).macs == 2 * 4 * 9 * 16


def test_public_names() -> None:
    model = nn.Conv2d(2, 2, 1)
    assert anychan.depth(model, image_size=4) == 1
    found = anychan.profile(model, image_size=4, batch_size=1, repeats=1)
    assert found.channels == "0,1"
    assert set(found.latency_ms) == {1}


@pytest.mark.parametrize("device", ["abacus", "meta"])
def test_a_device_that_cannot_be_used(device: str) -> None:
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used"):
        profile(nn.Conv2d(3, 3, 1), image_size=4, device=device)


def test_channels_the_model_does_not_know() -> None:
    model = adapt(nn.Sequential(nn.Conv2d(3, 4, 3)), strategy="sliced")
    with pytest.raises(ValueError, match="unknown channel 'NIR'; there are R,G,B"):
        profile(model, ["R", "NIR"], image_size=8)


@pytest.mark.parametrize(("name", "options"), [("wide4", {"width": 4}), ("resnet18", {})])
def test_every_scale_and_shift_that_is_kept_for_a_subset_counts(name: str, options: dict[str, Any]) -> None:
    """The body's own does not: it is not used any more."""
    model, plain = (create_model(name, "RG", 6, "sliced", model_options=options) for _ in range(2))
    keep_statistics(model, affine=True)
    own = sum(parameter.numel() for parameter in model.subset_statistics.of(model.resolve("R")).parameters())
    found, alone = (profile(m, "R", image_size=32, batch_size=2, repeats=1) for m in (model, plain))
    assert own > 0
    assert found.parameters == alone.parameters + 2 * own
    assert (found.macs, found.depth) == (alone.macs, alone.depth)
