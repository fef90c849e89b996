"""What is traced, before it is: tables that answer as the model does, and NaN where it would refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from anychan.adaptation import adapt, keep_statistics
from anychan.adaptation._stem_wrappers import PatchProjection
from anychan.blocks import BranchedConv2d
from anychan.channels import Channel
from anychan.exporting._graph import AllSubsets, OneSubset, tabled_subsets
from anychan.exporting._stems import graph_stem
from anychan.exporting._trace import example, trace, varying

from ..nn._contract import CHANNELS, GEOMETRIES, make
from ..nn._contract import VARIANTS as STEMS
from ._small import BANDS, MAPS, Small, ids, images, places, small

CALLS = ["R,G,NIR", "NIR,R,G", "R,G", "NIR,G", "G", "NIR"]


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", MAPS, ids=ids)
@pytest.mark.parametrize("kept", [False, True])
def test_all_subsets_answer_as_the_model_does(variant, kept):
    model = small(*variant, kept=kept)
    graph = AllSubsets(model, tabled_subsets(model)).eval()
    for names in CALLS:
        x = images(2, names.count(",") + 1)
        close(graph(x, places(names)), model(x, names))


@pytest.mark.parametrize("variant", MAPS, ids=ids)
@pytest.mark.parametrize("kept", [False, True])
def test_one_subset_answers_as_the_model_does(variant, kept):
    model = small(*variant, kept=kept)
    for names in CALLS[1:]:
        x = images(2, names.count(",") + 1)
        close(OneSubset(model, model.resolve(names)).eval()(x), model(x, names))


@pytest.mark.parametrize("variant", [v for v in STEMS if v[0] in ("mixed", "completed", "attentive")], ids=ids)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_stems_of_every_geometry(variant, geometry):
    stem = make(variant[0], {**variant[1], "mode": "eval"}, **geometry)
    subset = CHANNELS.subset("NIR,G,R")
    x = torch.randn(3, 3, 9, 11)
    held = graph_stem(stem, [subset])
    assert held is not None
    close(held(x), stem(x, subset))


class Asking(Small):
    """A body that asks its stem what bodies ask of a convolution."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem
        assert stem.in_channels == x.shape[1]
        assert (stem.out_channels, stem.groups, stem.kernel_size, stem.stride) == (6, 1, (3, 3), (1, 1))
        assert stem.bias is not None
        return super().forward(x.to(stem.weight.device, stem.weight.dtype))


ASKED = [("sliced", {}), ("mixed", {}), ("attentive", {}), ("pooled", {"pooling": "attention"})]


@pytest.mark.parametrize("variant", ASKED, ids=ids)
def test_a_body_may_ask_its_stem_about_itself(variant):
    model = adapt(Asking(3), BANDS, variant[0], trained_on=BANDS, **variant[1]).eval()
    graph = AllSubsets(model, tabled_subsets(model))
    program = trace(graph, example(graph, 3, (16, 16)), any_size=True)
    assert varying(program) == ["batch", "channels", "height", "width"]
    close(program.module()(images(2, 3), places("NIR,R,G")), model(images(2, 3), "NIR,R,G"))


def test_a_body_may_ask_what_stands_around_its_stem():
    stem = make("sliced", {}, kernel_size=4, stride=4).bfloat16()
    around = PatchProjection(stem, channels_last=False)
    around.conv = graph_stem(stem, [CHANNELS])
    assert (around.weight.dtype, around.weight.device) == (torch.bfloat16, torch.device("cpu"))


def test_scale_and_shift_of_each_subset_are_tabled():
    model = small(kept=True, affine=True)
    graph = AllSubsets(model, tabled_subsets(model)).eval()
    for names in CALLS:
        x = images(2, names.count(",") + 1)
        close(graph(x, places(names)), model(x, names))


@pytest.mark.parametrize("kept", [False, True])
def test_branches_fold_unless_each_subset_has_statistics(kept):
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 6, 3), BranchedConv2d(6, 6, [3, 1]), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )
    model = adapt(body, BANDS, "sliced", trained_on=BANDS).eval()
    if kept:
        keep_statistics(model)
        for name, buffer in model.named_buffers():
            if "running_" in name:
                buffer.uniform_(0.5, 1.5)
    graph = AllSubsets(model, tabled_subsets(model)).eval()
    assert any(isinstance(module, BranchedConv2d) for module in graph.modules()) == kept
    close(graph(images(2, 2), places("NIR,R")), model(images(2, 2), "NIR,R"))


@pytest.mark.parametrize("wrong", [[3], [-1], [0, 0], [0, 1, 1], [0, 7], [0, 1, 2, 2], [1, 2]])
def test_what_is_no_subset_with_a_row_is_nan(wrong):
    model = small()
    subsets = [subset for subset in tabled_subsets(model) if str(subset) != "G,NIR"]
    graph = AllSubsets(model, subsets).eval()
    assert graph(images(2, len(wrong)), torch.tensor(wrong)).isnan().all()
    assert graph(images(2, 2), torch.tensor([2, 0])).isfinite().all()


@pytest.mark.parametrize("variant", MAPS, ids=ids)
def test_as_many_channels_are_said_as_there_are_planes(variant):
    model = small(*variant)
    graph = AllSubsets(model, tabled_subsets(model)).eval()
    for planes, said in ((3, [0]), (1, [0, 1, 2]), (3, [0, 1]), (1, [0, 2])):
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            graph(images(2, planes), torch.tensor(said))


def test_a_channel_never_seen_in_a_file_of_its_own():
    x = images(2, 2)
    for strategy, options in (("attentive", {"embedding": "wavelength"}), ("spectral", {})):
        model = small(strategy, options)
        seen = model.resolve([Channel("SWIR", 1.6), Channel("G")])
        close(OneSubset(model, seen).eval()(x), model(x, seen))


def test_what_draws_at_random_is_refused():
    model = small("sliced", {"selection": "random", "at_test": "random"})
    for make_graph in (lambda: AllSubsets(model, tabled_subsets(model)), lambda: OneSubset(model, BANDS)):
        with pytest.raises(ValueError, match="at random"):
            make_graph()


def test_only_so_many_subsets_are_tabled():
    stem = nn.Sequential(nn.Conv2d(7, 4, 3), nn.BatchNorm2d(4))
    model = adapt(stem, [f"B{i}" for i in range(7)], "sliced")
    with pytest.raises(ValueError, match=r"127 subsets, and one graph holds 64 at most: name --subsets"):
        tabled_subsets(model)
    assert [str(subset) for subset in tabled_subsets(model, ["B3,B1", "B0", "B1,B3"])] == ["B1,B3", "B0"]
    with pytest.raises(ValueError, match="subsets 'RG' are no list of channel sets"):
        tabled_subsets(model, "RG")
    with pytest.raises(ValueError, match="subsets names none; choose from those of B0,B1"):
        tabled_subsets(model, [])
    keep_statistics(model, [["B0"], ["B3", "B1"]])
    assert [str(subset) for subset in tabled_subsets(model)] == ["B0", "B1,B3"]
    assert [str(subset) for subset in tabled_subsets(model, ["B3,B1"])] == ["B1,B3"]
    with pytest.raises(ValueError, match="there are no normalisation statistics for B3, only for B0 B1,B3"):
        tabled_subsets(model, ["B3"])


def test_statistics_of_channels_that_have_no_place_are_refused():
    model = small("spectral", kept=True)
    keep_statistics(model, [[Channel("R"), Channel("SWIR", 1.6)]])
    with pytest.raises(ValueError, match=r"'SWIR' is not among R,G,NIR"):
        tabled_subsets(model)
