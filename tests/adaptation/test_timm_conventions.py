"""An adapted model is handed to timm's own tools as the model was."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import group_parameters
from timm.optim import create_optimizer_v2
from torch import nn
from torch.nn.utils import prune

from anychan.adaptation import AnyChannelModel, adapt, keep_statistics

from ._small import Small


def made(name: str, strategy: str = "sliced", **options: object) -> tuple[nn.Module, AnyChannelModel]:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7, **options)
    return model, adapt(model, strategy=strategy)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize(
    "name",
    ["resnet18", "vit_tiny_patch16_224", "convnext_atto", "efficientnet_b0", "beit_base_patch16_224", "inception_v3"],
)
def test_layers_for_layer_decay_are_the_bodys(name: str, coarse: bool) -> None:
    with torch.device("meta"):
        model, adapted = made(name)
    before = group_parameters(model, model.group_matcher(coarse=coarse), reverse=True)
    found = group_parameters(adapted, adapted.group_matcher(coarse=coarse), reverse=True)
    assert len(set(before.values())) > 2
    assert {name.removeprefix("body."): layer for name, layer in found.items()} == before


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "densenet121", "inception_v3"])
def test_scales_of_subsets_are_in_the_layers_of_their_normalisations(name: str) -> None:
    with torch.device("meta"):
        _, adapted = made(name)
        keep_statistics(adapted, ["RG", "B"], affine=True)
    layers = group_parameters(adapted, adapted.group_matcher(), reverse=True)
    kept = [key for key in layers if key.startswith("subset_statistics.")]
    assert len({layers[key] for key in kept}) > 2
    for key in kept:
        assert layers[key] == layers["body." + key.split(".", 2)[2].replace("/", ".")]


def test_what_does_not_decay_is_the_bodys_and_the_stems() -> None:
    model, adapted = made("vit_tiny_patch16_224", "attentive", depth=1)
    assert {f"body.{name}" for name in model.no_weight_decay()} < adapted.no_weight_decay()
    exempt = {name for name, parameter in adapted.named_parameters() if parameter.ndim > 1} & adapted.no_weight_decay()
    assert exempt >= {"body.pos_embed", "body.cls_token"}
    assert exempt - {f"body.{name}" for name in model.no_weight_decay()}  # embeddings of the stem's
    groups = create_optimizer_v2(adapted, weight_decay=0.05, layer_decay=0.75).param_groups
    kept = {id(parameter) for group in groups if not group["weight_decay"] for parameter in group["params"]}
    assert {name for name, parameter in adapted.named_parameters() if id(parameter) in kept} >= exempt
    assert len({group["lr_scale"] for group in groups}) == 3


def test_a_model_says_of_itself_what_its_body_says() -> None:
    model, adapted = made("vit_tiny_patch16_224", depth=2)
    assert resolve_model_data_config(adapted) == resolve_model_data_config(model)
    assert resolve_model_data_config(adapted)["mean"] == (0.5, 0.5, 0.5)
    assert (adapted.num_classes, adapted.num_features) == (7, 192)
    assert adapted.default_cfg == model.default_cfg
    adapted.set_grad_checkpointing()
    assert adapted.body.grad_checkpointing
    adapted.train()(torch.rand(1, 2, 224, 224), "RG").sum().backward()
    backbone = adapt(timm.create_model("resnet18", features_only=True), strategy="sliced")
    assert backbone.feature_info.channels() == [64, 64, 128, 256, 512]


def test_what_the_body_does_not_have_it_does_not_have() -> None:
    adapted = adapt(Small(), strategy="sliced")
    assert adapted.no_weight_decay() == set()
    for name in ("group_matcher", "pretrained_cfg", "set_grad_checkpointing", "num_classes", "feature_info"):
        assert not hasattr(adapted, name)
    create_optimizer_v2(keep_statistics(adapted) or adapted, weight_decay=0.05)


def test_hooks_on_a_stem_run_and_pruned_it_stays_pruned() -> None:
    adapted, x = adapt(Small(), strategy="sliced").eval(), torch.rand(2, 2, 8, 8)
    stem = adapted.stems["stem"]
    seen: list[torch.Size] = []
    handle = stem.register_forward_hook(lambda module, given, output: seen.append(output.shape))
    as_before = adapted(x, "RG")
    handle.remove()
    torch.testing.assert_close(adapted(x, "RG"), as_before)
    assert seen == [(2, 6, 8, 8)]
    handle = stem.register_full_backward_hook(lambda module, gave, got: seen.append(got[0].shape))
    adapted(x.requires_grad_(), "RG").sum().backward()
    handle.remove()
    assert seen[1:] == [(2, 6, 8, 8)]
    prune.random_unstructured(stem, "weight", amount=1.0)
    silent = adapted(x, "RG")
    torch.testing.assert_close(silent[:1], silent[1:])  # nothing of the images is left
