"""Depths of networks of timm that are in their names, or can be counted by their papers.

Each expected depth is written as it is counted: stem, blocks, head. A squeeze-and-excitation lies on the longest path
of its block and adds its two layers; a convolution on a shortcut does not, since the block itself is longer.
"""

from __future__ import annotations

import pytest

from anychan.cost import depth

from ._nets import on_meta

# Beside stem and head, of the blocks of a Vision Transformer: query-key-value, projection, two layers of the MLP.
_VIT = 12 * 4
_KNOWN = {
    # In the name, which counts one path: no convolutions on shortcuts, whose blocks are longer.
    "resnet18": 18,
    "resnet34": 34,
    "resnet50": 50,
    "resnet101": 101,
    "wide_resnet50_2": 50,
    "resnext50_32x4d": 50,
    "resnetv2_50": 50,  # normalisation first
    "nf_resnet50": 50,  # standardised weights are made of parameters alone
    "vgg11": 11,
    "vgg13": 13,
    "vgg16": 16,
    "vgg19": 19,
    "densenet121": 121,
    "densenet169": 169,
    "densenet201": 201,
    "darknet53": 53,
    # The stem is three convolutions in place of one.
    "resnet50d": 50 + 2,
    # 16 blocks, each with the two of a squeeze-and-excitation, or the one of an efficient channel attention.
    "seresnet50": 50 + 16 * 2,
    "ecaresnet50t": 50 + 2 + 16 * 1,
    # Three convolutions in the middle of a block, the second and third on what the one before gave; side by side in the
    # first block of each of four stages.
    "res2net50_26w_4s": 50 + (16 - 4) * 2,
    # The longest branch of a block is its 3x3; A0 has 2, 4, 14 and 1 of them, in training as after it.
    "repvgg_a0": 1 + (2 + 4 + 14 + 1) + 1,
    # Blocks of 1x1, 3x3, 1x1: 1, 1, 4, 7 of them; Y has squeeze-and-excitation in each of 1, 1, 4, 7.
    "regnetx_002": 1 + (1 + 1 + 4 + 7) * 3 + 1,
    "regnety_002": 1 + (1 + 1 + 4 + 7) * 5 + 1,
    # Depthwise and pointwise, 13 times (arXiv 1704.04861: 28 layers).
    "mobilenetv1_100": 1 + 13 * 2 + 1,
    # The first block does not expand: 2; 16 of 3 (arXiv 1801.04381); a last convolution.
    "mobilenetv2_100": 1 + 2 + 16 * 3 + 1 + 1,
    # As in Tables 1 and 2 of arXiv 1905.02244: the first block has one less; squeeze-and-excitation in 8 of 15 blocks,
    # or in 9 of 11; at the end a convolution before the pooling, one after it, and the head.
    "mobilenetv3_large_100": 1 + (2 + 14 * 3 + 8 * 2) + 1 + 1 + 1,
    "mobilenetv3_small_100": 1 + (2 + 10 * 3 + 9 * 2) + 1 + 1 + 1,
    # 16 blocks with squeeze-and-excitation (arXiv 1905.11946): the first is 4, as it does not expand.
    "efficientnet_b0": 1 + (4 + 15 * 5) + 1 + 1,
    # B1 and A1 of arXiv 1807.11626, the latter with squeeze-and-excitation in 8 of its blocks.
    "mnasnet_100": 1 + (2 + 16 * 3) + 1 + 1,
    "semnasnet_100": 1 + (2 + 15 * 3 + 8 * 2) + 1 + 1,
    # Depthwise and two pointwise in each of 3, 3, 9, 3 blocks; a convolution between stages; layer scales are none.
    "convnext_tiny": 1 + (3 + 3 + 9 + 3) * 3 + 3 + 1,
    "convnextv2_atto": 1 + (2 + 2 + 6 + 2) * 3 + 3 + 1,  # global response normalisation is none
    # Depthwise and pointwise 32 times.
    "convmixer_768_32": 1 + 32 * 2 + 1,
    # Two MLPs of two layers in each of 8 blocks.
    "mixer_s32_224": 1 + 8 * 4 + 1,
    # One layer across patches and two in the MLP; affine transformations and layer scales are none.
    "resmlp_12_224": 1 + 12 * 3 + 1,
    # In, across patches on one half, out.
    "gmlp_ti16_224": 1 + 30 * 3 + 1,
    "vit_tiny_patch16_224": 1 + _VIT + 1,
    "deit_tiny_patch16_224": 1 + _VIT + 1,
    "deit3_small_patch16_224": 1 + _VIT + 1,
    "beit_base_patch16_224": 1 + _VIT + 1,  # positions are added to the scores
    # 2, 2, 6, 2 blocks of 4, patches merged between; version 2 has a learned temperature, and positions by an MLP of
    # parameters alone.
    "swin_tiny_patch4_window7_224": 1 + (2 + 2 + 6 + 2) * 4 + 3 + 1,
    "swinv2_tiny_window8_256": 1 + (2 + 2 + 6 + 2) * 4 + 3 + 1,
    # Pooling in place of attention: two layers in each of 2, 2, 6, 2 blocks.
    "poolformer_s12": 1 + (2 + 2 + 6 + 2) * 2 + 3 + 1,
    # Heads are mixed before and after the softmax, so 24 blocks of 6; two of 4 for the class token.
    "cait_xxs24_224": 1 + 24 * 6 + 2 * 4 + 1,
}


@pytest.mark.parametrize("name", _KNOWN)
def test_known_depths(name: str) -> None:
    model = on_meta(name)
    assert depth(model, image_size=model.default_cfg["input_size"][1]) == _KNOWN[name]
