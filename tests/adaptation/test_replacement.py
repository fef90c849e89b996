"""Group normalisation and batch renormalisation in place of batch normalisation."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d, GroupNormAct, SyncBatchNormAct
from torch import Tensor, nn

from anychan.adaptation import adapt, recalibrate, replace_batch_norm, specialize
from anychan.adaptation.annealing import annealed_modules
from anychan.adaptation.batch_renorm import BatchRenorm1d, BatchRenorm2d
from anychan.adaptation.normalisation import batch_norms
from anychan.adaptation.replacement import fold_batch_renorm
from anychan.models import create_model


def images(n: int = 4, planes: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, planes, 5, 7, generator=generator) * (1 + seed) + seed / 4


def slow_renorm(norm: BatchRenorm2d, x: Tensor) -> Tensor:
    """Algorithm 1 of arXiv 1702.03275, one value after another, with nothing shared with what is tested."""
    mean, var, r_max, d_max = norm.running_mean, norm.running_var, float(norm.r_max), float(norm.d_max)
    y = torch.zeros_like(x)
    for c in range(x.shape[1]):
        values = [x[n, c, i, j] for n in range(x.shape[0]) for i in range(x.shape[2]) for j in range(x.shape[3])]
        mu_b = sum(values) / len(values)
        sigma_b = (norm.eps + sum((v - mu_b) ** 2 for v in values) / len(values)) ** 0.5
        sigma = (float(var[c]) + norm.eps) ** 0.5
        r = min(max(float(sigma_b.detach()) / sigma, 1 / r_max), r_max)  # numbers: no gradient
        d = min(max((float(mu_b.detach()) - float(mean[c])) / sigma, -d_max), d_max)
        y[:, c] = norm.weight[c] * ((x[:, c] - mu_b) / sigma_b * r + d) + norm.bias[c]
    return y


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_renorm_is_the_papers_algorithm_with_its_gradients(progress):
    torch.manual_seed(0)
    norm = BatchRenorm2d(6, dtype=torch.float64)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.copy_(torch.tensor([-9.0, -1.0, -0.1, 0.1, 0.5, 9.0]))  # some are clipped, some are not
    norm.running_var.copy_(torch.tensor([0.001, 0.5, 1.0, 2.0, 4.0, 1000.0]))
    norm.num_batches_tracked.fill_(1000)
    norm.anneal(progress)
    x = images().double().requires_grad_()
    out = torch.randn(4, 6, 5, 7, dtype=torch.float64)
    leaves = (x, norm.weight, norm.bias)
    expected = slow_renorm(norm, x)
    expected_grads = torch.autograd.grad((expected * out).sum(), leaves)
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    y = norm(x)
    torch.testing.assert_close(y, expected)
    for grad, its in zip(torch.autograd.grad((y * out).sum(), leaves), expected_grads, strict=True):
        torch.testing.assert_close(grad, its)
    torch.testing.assert_close(norm.running_mean, mean * 0.99 + x.mean(dim=(0, 2, 3)) * 0.01)
    torch.testing.assert_close(norm.running_var, var * 0.99 + x.transpose(0, 1).flatten(1).var(dim=1) * 0.01)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 5)])
def test_renorm_of_vectors_is_that_of_maps(shape):
    model = nn.Sequential(nn.BatchNorm1d(6))
    vectors, maps = replace_batch_norm(model, "renorm")[0], BatchRenorm2d(6)
    assert type(vectors) is BatchRenorm1d
    for seed in range(3):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * (1 + seed)
        as_maps = x.reshape(*shape, *[1] * (4 - len(shape)))
        for norm in (vectors, maps):
            norm.anneal(seed / 4)
        torch.testing.assert_close(vectors(x), maps(as_maps).reshape(shape))
    expected = vectors.eval()(x)
    torch.testing.assert_close(vectors.running_var, maps.running_var)
    ordinary = fold_batch_renorm(model)[0]
    assert type(ordinary) is nn.BatchNorm1d
    torch.testing.assert_close(ordinary(x), expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("parallel6", {"width": 8}),
        ("graph6", {"width": 16}),
        ("wide6", {"width": 8, "head": "both"}),
        ("wide4", {"width": 8, "scales": 2}),
    ],
)
def test_networks_that_normalise_vectors_are_trained_with_renorm(name, options):
    model = create_model(name, "RGB", 3, "sliced", model_options=options, normalisation="renorm")
    model.train()(torch.randn(4, 3, 32, 32)).square().sum().backward()
    x = torch.randn(2, 2, 32, 32)
    ordinary = specialize(model.eval(), "RG")
    assert not any("Renorm" in type(module).__name__ for module in ordinary.modules())
    torch.testing.assert_close(ordinary(x), model(x, "RG"), rtol=1e-4, atol=1e-5)


def test_renorm_begins_as_batch_normalisation_and_is_tested_as_one():
    norm, ordinary = BatchRenorm2d(6), nn.BatchNorm2d(6)
    for seed in range(3):
        torch.testing.assert_close(norm(images(seed=seed)), ordinary(images(seed=seed)))
    ordinary.running_mean, ordinary.running_var = norm.running_mean, norm.running_var
    torch.testing.assert_close(norm.eval()(images()), ordinary.eval()(images()))


def test_the_first_averages_are_plain_means():
    norm = BatchRenorm2d(6, momentum=0.3)
    batches = [images(seed=seed) for seed in range(4)]
    means = [x.mean(dim=(0, 2, 3)) for x in batches]
    for x in batches[:3]:
        norm(x)
    torch.testing.assert_close(norm.running_mean, torch.stack(means[:3]).mean(dim=0))
    norm(batches[3])
    torch.testing.assert_close(norm.running_mean, torch.stack(means[:3]).mean(dim=0) * 0.7 + means[3] * 0.3)


def test_within_the_limits_training_is_what_is_tested():
    norm = BatchRenorm2d(6, momentum=0.1)
    for seed in (0, 1, 0, 1):
        norm(images(seed=seed))
    norm.anneal(1.0)
    tested = copy.deepcopy(norm).eval()(images())
    assert not torch.allclose(
        copy.deepcopy(norm.eval()).train().requires_grad_()(images()), nn.BatchNorm2d(6)(images())
    )
    torch.testing.assert_close(norm.train()(images()), tested)


def test_limits_widen_over_the_run_and_are_saved():
    norm = BatchRenorm2d(2)
    limits = []
    for progress in (0.0, 0.03, 0.1, 0.16, 0.25, 1.0):
        norm.anneal(progress)
        limits.append((float(norm.r_max), float(norm.d_max)))
    assert limits[0] == limits[1] == (1.0, 0.0)
    assert limits[-2:] == [(3.0, 5.0), (3.0, 5.0)]
    assert limits == sorted(limits)
    assert limits[3][1] == 5.0
    assert 1 < limits[3][0] < 3
    read = BatchRenorm2d(2)
    read.load_state_dict(norm.state_dict())
    assert float(read.r_max) == 3.0
    assert annealed_modules(nn.Sequential(norm)) == [norm]


def test_renorm_of_half_precision_and_of_one_value():
    norm = BatchRenorm2d(6)
    norm.anneal(1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = norm(images().bfloat16())
    assert y.dtype == torch.bfloat16
    assert norm.running_mean.dtype == torch.float32
    assert BatchRenorm2d(6).bfloat16()(images().bfloat16()).dtype == torch.bfloat16
    before = norm.running_mean.clone()
    with pytest.raises(ValueError, match="more than one value a channel"):
        norm(torch.zeros(1, 6, 1, 1))
    assert torch.equal(norm.running_mean, before)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_renorm_compiles():
    norm = BatchRenorm2d(6)
    norm.anneal(0.1)
    twin = copy.deepcopy(norm)
    compiled = torch.compile(norm, backend="eager", fullgraph=True)
    for seed in range(3):
        torch.testing.assert_close(compiled(images(seed=seed)), twin(images(seed=seed)))
    torch.testing.assert_close(norm.running_var, twin.running_var)


@pytest.mark.parametrize("kind", ["group", "renorm"])
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_all_are_replaced_with_their_scale_and_activation(name, kind):
    model = timm.create_model(name, num_classes=3)
    norms = {path: copy.deepcopy(module) for path, module in batch_norms(model)}
    weights = {path: module.weight for path, module in batch_norms(model)}
    assert replace_batch_norm(model, kind) is model
    for path, old in norms.items():
        new = model.get_submodule(path)
        assert new.weight is weights[path]  # an optimiser that has it keeps it
        if kind == "group":
            assert type(new) is (GroupNormAct if isinstance(old, BatchNormAct2d) else nn.GroupNorm)
            assert new.num_groups <= 32
        else:
            assert type(new) is BatchRenorm2d
        assert new.eps == old.eps
        assert type(getattr(new, "act", None)) is type(getattr(old, "act", None))
    assert sum(1 for _ in batch_norms(model)) == (0 if kind == "group" else len(norms))
    x = torch.randn(2, 3, 64, 64)
    assert model(x).isfinite().all()
    model.eval()
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-4)


def test_group_normalisation_is_of_each_image_by_itself():
    model = nn.Sequential(BatchNormAct2d(64, act_layer=nn.SiLU))
    nn.init.normal_(model[0].weight)
    weight, bias = model[0].weight, model[0].bias
    x = images(planes=64, seed=2)
    y = replace_batch_norm(model, "group")(x)
    for image, its in zip(x, y, strict=True):
        groups = image.reshape(32, -1)
        normal = (groups - groups.mean(dim=1, keepdim=True)) / (
            groups.var(dim=1, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        affine = normal.reshape(image.shape) * weight[:, None, None] + bias[:, None, None]
        torch.testing.assert_close(its, nn.functional.silu(affine), rtol=1e-4, atol=1e-5)


def test_a_map_of_one_pixel_keeps_what_is_in_it():
    norm = replace_batch_norm(nn.Sequential(nn.BatchNorm2d(16)), "group")
    assert norm(torch.randn(2, 16, 1, 1)).abs().max() > 0.5


def test_one_that_is_used_twice_stays_one_and_modes_stay():
    shared = nn.BatchNorm2d(4, affine=False)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared), "c": nn.BatchNorm2d(4).eval()})
    for kind in ("renorm", "group"):
        replace_batch_norm(model, kind)
        assert model["a"] is model["b"][0]
        assert model["a"].weight is None
        assert model["a"].training
        assert not model["c"].training
    with pytest.raises(ValueError, match="ModuleDict has no batch normalisation to replace"):
        replace_batch_norm(model, "group")


def test_trained_statistics_are_taken_over_by_renorm():
    model = nn.Sequential(nn.BatchNorm2d(6))
    model(images(seed=3))
    expected = model.eval()(images())
    torch.testing.assert_close(replace_batch_norm(model, "renorm")(images()), expected)


class OddNorm(nn.BatchNorm2d):
    """May do anything."""


@pytest.mark.parametrize(
    ("norm", "kind", "said"),
    [
        (nn.BatchNorm2d(4), "layer", "unknown kind of normalisation 'layer'; there are group, renorm"),
        (OddNorm(4), "group", "'0' is a OddNorm, not one of BatchNorm1d"),
        (nn.BatchNorm3d(4), "renorm", r"'0' is BatchNorm3d\(4"),
        (nn.SyncBatchNorm(4), "renorm", "'0' is a SyncBatchNorm, and batch renormalisation is not synchronised"),
        (SyncBatchNormAct(4), "renorm", "'0' is a SyncBatchNormAct, and batch renormalisation is not synchronised"),
        (nn.BatchNorm2d(4, track_running_stats=False), "renorm", "with running statistics"),
    ],
)
def test_what_cannot_be_replaced_says_why(norm, kind, said):
    model = nn.Sequential(norm, nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match=said):
        replace_batch_norm(model, kind)
    assert type(model[1]) is nn.BatchNorm2d  # nothing is half done


def test_renorm_with_statistics_for_each_subset():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), BatchNormAct2d(6), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4))
    batches = [torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    plain = adapt(body, strategy="sliced")
    renorm = adapt(replace_batch_norm(copy.deepcopy(body), "renorm"), strategy="sliced")
    for module in annealed_modules(renorm):
        module.anneal(1.0)
    for model in (plain, renorm):
        recalibrate(model.eval(), batches, ["RG", "B"])
    x = batches[0][:, :2]
    torch.testing.assert_close(renorm(x, "RG"), plain(x, "RG"))  # at test time they are the same
    for module in annealed_modules(renorm):
        module.anneal(0.0)
    before = renorm.subset_statistics.of(plain.channels.subset("B"))["3"].running_mean.clone()
    torch.testing.assert_close(renorm.train()(x, "RG"), plain.train()(x, "RG"))  # limits are those of all subsets
    assert torch.equal(renorm.subset_statistics.of(plain.channels.subset("B"))["3"].running_mean, before)
    ordinary = fold_batch_renorm(specialize(renorm.eval(), "RG"))
    assert [type(module) for module in ordinary] == [nn.Conv2d, BatchNormAct2d, nn.Conv2d, nn.BatchNorm2d]
    assert not any(type(module).__module__.startswith("anychan") for module in ordinary.modules())
    torch.testing.assert_close(ordinary(x), renorm(x, "RG"))
    statistics = renorm.subset_statistics.of(plain.channels.subset("RG"))["3"]
    assert torch.equal(ordinary[3].running_mean, statistics.running_mean)
    assert not ordinary[3].training
