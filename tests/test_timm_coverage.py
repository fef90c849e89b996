"""Every architecture module of the installed timm: adapted, it is the same function, and takes two channels of three.

The smallest model of each module, at the smallest image it takes, with weights as if it had been trained. Where even
the smallest is large it has fewer blocks. A module that is not in the table fails until someone adds it, or names it
in ``MISSING`` with the reason for which `adapt` refuses it.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import pytest
import timm
import torch

from anychan.adaptation import adapt

from ._adapted import assert_adapts


class Small(NamedTuple):
    name: str
    size: int
    options: dict[str, Any]


def small(name: str, size: int = 32, **options: Any) -> Small:
    return Small(name, size, options)


SMALLEST = {
    "beit": small("beit_base_patch16_224", depth=2, img_size=32),
    "byoanet": small("halonet_h1", 256),
    "byobnet": small("test_byobnet"),
    "cait": small("cait_xxs24_224", img_size=32),
    "coat": small("coat_tiny", img_size=32),
    "convit": small("convit_tiny", img_size=32),
    "convmixer": small("convmixer_768_32"),
    "convnext": small("test_convnext"),
    "cpubone": small("cpubone_nano"),
    "crossvit": small("crossvit_tiny_240"),
    "csatv2": small("csatv2", 64),
    "cspnet": small("cs3darknet_focus_s"),
    "cspnext": small("cspnext_tiny"),
    "davit": small("davit_tiny"),
    "deepseek_vit": small("deepseek_vit_412m", 224, depth=2),
    "deit": small("deit_tiny_patch16_224", img_size=32),
    "densenet": small("densenet121"),
    "dla": small("dla46x_c"),
    "dpn": small("dpn48b"),
    "edgenext": small("edgenext_xx_small"),
    "efficientformer": small("efficientformer_l1", 224),
    "efficientformer_v2": small("efficientformerv2_s0", img_size=32),
    "efficientnet": small("test_efficientnet"),
    "efficientvim": small("efficientvim_m1"),
    "efficientvit_mit": small("efficientvit_b0"),
    "efficientvit_msra": small("efficientvit_m0", 64),
    "eva": small("vit_tiny_patch16_dinov3_qkvb"),
    "fasternet": small("fasternet_t0"),
    "fastvit": small("fastvit_t8"),
    "focalnet": small("focalnet_tiny_srf"),
    "gcvit": small("gcvit_xxtiny", img_size=32),
    "gemma4_vit": small("gemma4_vit_167m", depth=2),
    "ghostnet": small("ghostnet_050"),
    "hardcorenas": small("hardcorenas_b"),
    "hgnet": small("hgnetv2_b0"),
    "hiera": small("hiera_tiny_224", img_size=32),
    "hieradet_sam2": small("sam2_hiera_tiny"),
    "hrnet": small("hrnet_w18_small"),
    "iformer": small("iformer_t"),
    "inception_next": small("inception_next_atto"),
    "inception_resnet_v2": small("ens_adv_inception_resnet_v2", 96),
    "inception_v3": small("adv_inception_v3", 96),
    "inception_v4": small("inception_v4", 96),
    "lcnetv2": small("lcnetv2_small"),
    "levit": small("levit_128s", 64, img_size=64),
    "lowformer": small("lowformer_b0"),
    "mambaout": small("test_mambaout"),
    "maxxvit": small("test_coatnet", img_size=32),
    "metaformer": small("poolformerv2_s12"),
    "mlp_mixer": small("gmlp_ti16_224", img_size=32),
    "mobilenetv3": small("mobilenetv3_small_050"),
    "mobilenetv5": small("mobilenetv5_base"),
    "mobilevit": small("mobilevit_xxs"),
    "mvitv2": small("mvitv2_tiny"),
    "naflexvit": small("naflexvit_base_patch16_parfac_gap", depth=2),
    "nasnet": small("nasnetalarge"),
    "nest": small("jx_nest_tiny", img_size=32),
    "nextvit": small("nextvit_small"),
    "nfnet": small("test_nfnet"),
    "pit": small("pit_ti_224", img_size=32),
    "pnasnet": small("pnasnet5large"),
    "pvt_v2": small("pvt_v2_b0"),
    "qwen3_vit": small("qwen3_vit_88m", depth=2),
    "rdnet": small("rdnet_tiny"),
    "regnet": small("regnetx_002"),
    "repghost": small("repghostnet_050"),
    "repvit": small("repvit_m1"),
    "res2net": small("res2next50"),
    "resnest": small("resnest14d"),
    "resnet": small("test_resnet"),
    "resnetv2": small("resnetv2_18"),
    "rexnet": small("rexnet_100"),
    "selecsls": small("selecsls42"),
    "senet": small("legacy_seresnet18"),
    "sequencer": small("sequencer2d_s"),
    "shvit": small("shvit_s1"),
    "sknet": small("skresnet18"),
    "starnet": small("starnet_s050"),
    "swiftformer": small("swiftformer_xs"),
    "swin_transformer": small("swin_tiny_patch4_window7_224", img_size=32),
    "swin_transformer_v2": small("swinv2_tiny_window16_256", img_size=32),
    "swin_transformer_v2_cr": small("swinv2_cr_tiny_224", img_size=32),
    "tiny_vit": small("tiny_vit_5m_224"),
    "tnt": small("tnt_s_legacy_patch16_224", img_size=32),
    "tresnet": small("tresnet_m"),
    "twins": small("twins_svt_small"),
    "vgg": small("vgg11", mlp_ratio=0.01),
    "visformer": small("visformer_tiny", img_size=32),
    "vision_transformer": small("test_vit"),
    "vision_transformer_hybrid": small("vit_tiny_r_s16_p8_224", img_size=32),
    "vision_transformer_relpos": small("test_vit_relpos", img_size=32),
    "vision_transformer_sam": small("samvit_base_patch16_224", depth=2),
    "vitamin": small("vitamin_small_224", img_size=32),
    "volo": small("volo_d1_224", img_size=32),
    "vovnet": small("ese_vovnet19b_slim_dw"),
    "xception": small("legacy_xception"),
    "xception_aligned": small("xception41p"),
    "xcit": small("xcit_nano_12_p8_224"),
}
# module: what the refusal says
MISSING: dict[str, str] = {}

MODULES = sorted(timm.list_modules())


@pytest.mark.parametrize("module", MODULES)
def test_adapted_it_is_the_same_and_takes_two_channels(module: str) -> None:
    assert module in SMALLEST, f"timm has a module {module!r} that is not in the table: add its smallest model"
    name, size, options = SMALLEST[module]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own
        model = timm.create_model(name, **options)
    if module in MISSING:
        with pytest.raises(ValueError, match=MISSING[module]):
            adapt(model, "RGB", "sliced")
        return
    assert_adapts(model, torch.randn(2, 3, size, size))


def test_how_many_modules_are_covered() -> None:
    covered = [module for module in MODULES if module in SMALLEST and module not in MISSING]
    assert len(covered) == len(MODULES) - len(MISSING)
    if timm.__version__ == "1.0.31":
        assert len(covered) == 98
