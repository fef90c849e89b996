"""Statistics of many channels, of channels that the model was not made with, and of planes without names."""

from __future__ import annotations

import pytest
import torch

from anychan.adaptation import adapt, keep_statistics, recalibrate, specialize
from anychan.channels import Channel, ChannelSet

from ._small import RGB, Small, images, small


def test_channels_of_any_name_have_their_own_statistics():
    names = ["a.b", "a%2Eb", "affine", "train", "half"]
    model = adapt(Small(5), names, "sliced").eval()
    recalibrate(model, [images(planes=5)], [[name] for name in names])
    x = images(planes=5)
    assert len(model.subset_statistics) == 5
    for i, name in enumerate(names):
        assert model(x[:, i : i + 1], [name]).isfinite().all()
    assert not torch.allclose(
        *(model.subset_statistics.of(ChannelSet([name]))["norm"].running_mean for name in names[:2])
    )


def test_many_channels_need_their_subsets_named():
    model = small(planes=13)
    for call in (lambda: keep_statistics(model), lambda: recalibrate(model, [images(planes=13)])):
        with pytest.raises(ValueError, match="13 channels have 8191 subsets: name those wanted"):
            call()
    recalibrate(model, [images(planes=13)], ["B1,B12"])
    assert model(images(planes=13)[:, [12, 1]], "B12,B1").shape == (4, 4)


def test_channels_that_the_model_does_not_know_have_statistics_too() -> None:
    torch.manual_seed(0)
    model = adapt(Small(), strategy="spectral").eval()
    recalibrate(model, [images(seed=1)], ["RG", "R"])
    edge, swir = Channel("edge", 0.865), Channel("edge", 1.6)
    known, x = [Channel("B"), edge, Channel("R")], images(seed=2)
    planes = x[:, [2, 1]]
    for call in (lambda: model(planes, [Channel("R"), edge]), lambda: specialize(model, [Channel("R"), edge])):
        with pytest.raises(ValueError, match=r"no normalisation statistics for R,edge@0\.865, only for RG, R: recal"):
            call()
    recalibrate(model, [x], ["R,edge", "R"], channels=known)
    assert [str(s) for s in model.subset_statistics.subsets] == ["RG", "R", "R,edge"]
    ordinary = specialize(model, [Channel("R"), edge])
    torch.testing.assert_close(model(planes, [Channel("R"), edge]), ordinary(planes))
    torch.testing.assert_close(model(planes.flip(1), [edge, Channel("R")]), ordinary(planes))
    seen = ordinary.stem(planes)  # what the first normalisation is given
    torch.testing.assert_close(ordinary.norm.running_mean, seen.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(model.subset_statistics.of(RGB.subset("R"))["norm"].num_batches_tracked.item(), 1)
    with pytest.raises(ValueError, match=r"statistics for R,edge@1\.6, only for RG, R, R,edge@0\.865"):
        model(planes, [Channel("R"), swir])  # another band of the same name
    keep_statistics(model, [["R", "G"], [swir]])
    assert model(planes[:, :1], [swir]).isfinite().all()


def test_batches_of_other_channels_than_the_models() -> None:
    model = adapt(Small(), strategy="spectral").eval()
    two = [Channel("edge", 0.8), Channel("G")]
    recalibrate(model, [images(planes=2)], channels=two)
    assert [",".join(s.names) for s in model.subset_statistics.subsets] == ["G,edge", "edge", "G"]
    for batch, subsets, channels, said in (
        (images(), ["G"], two, r"shape \(2 or more, 2, H, W\)"),
        (images(planes=2), ["R,G"], two, "unknown channel 'R'"),
        (images(), [two], None, "unknown channel 'edge'"),
        (images(planes=2), None, ["edge", "G"], "'edge' without a wavelength"),
    ):
        with pytest.raises(ValueError, match=said):
            recalibrate(model, [batch], subsets, channels)
    sliced = small()
    recalibrate(sliced, [images(planes=2)], ["B"], channels="BG")
    other = small()
    recalibrate(other, [images(planes=2)[:, [1, 1, 0]]], ["B"])
    expected = other.subset_statistics.of(RGB.subset("B"))["norm"].running_mean
    torch.testing.assert_close(sliced.subset_statistics.of(RGB.subset("B"))["norm"].running_mean, expected)
    with pytest.raises(ValueError, match="unknown channel 'edge'; there are R,G,B"):
        recalibrate(sliced, [images(planes=2)], channels=two)


def test_planes_without_names_have_statistics() -> None:
    model = adapt(Small(), strategy="pooled").eval()
    x = images(planes=5)
    recalibrate(model, [x], [list("abcde")], channels=list("abcde"))
    with pytest.raises(ValueError, match=r"for 0,1,2,3,4, only for a,b,c,d,e: .* named as in the call"):
        model(x)
    recalibrate(model, [x], ["0,1,2,3,4"], channels="0,1,2,3,4")
    torch.testing.assert_close(model(x), model(x, list("abcde")))


class Two(Small):
    """A network that is given more than an image."""

    def forward(self, x, others):
        return super().forward(x) + others


def test_a_network_with_further_inputs_gathers_statistics_bound():
    model, x = adapt(Two(3), RGB, "sliced"), images()
    keep_statistics(model, ["RG", "B"])
    with torch.no_grad():
        for _ in range(50):
            model.train().bind("RG")(x[:, :2], torch.ones(4))
    means = [model.subset_statistics.of(model.resolve(subset))["norm"].running_mean for subset in ("RG", "B")]
    seen = model.stems["stem"](x[:, :2], "RG").mean(dim=(0, 2, 3))
    torch.testing.assert_close(means[0], seen.detach(), rtol=0.02, atol=1e-3)
    assert not means[1].any()
