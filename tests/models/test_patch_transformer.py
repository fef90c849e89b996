"""The transformer over patches: size, depth, positions, options."""

from __future__ import annotations

import math

import pytest
import torch

from anychan.cost import count_macs, depth
from anychan.models import create_model
from anychan.models.patch_transformer import patch_transformer


@pytest.mark.parametrize(
    ("layers", "parameters", "macs"),
    [(2, 1_605_426, 472_920_576), (3, 2_395_186, 707_801_600), (4, 3_184_946, 942_682_624)],
)
def test_what_it_costs(layers, parameters, macs):
    with torch.device("meta"):
        model = patch_transformer(num_classes=50, layers=layers)
    assert depth(model, image_size=64) == 2 + 4 * layers
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert count_macs(model, image_size=64).forward == macs


def test_images_of_any_size():
    model = patch_transformer(num_classes=5, width=16).eval()
    for size in ((32, 32), (45, 70)):
        assert model(torch.randn(2, 3, *size)).shape == (2, 5)


def test_positions_are_sines_of_row_and_column():
    model = patch_transformer(num_classes=5, width=16, heads=1).double().eval()
    torch.nn.init.zeros_(model.patches.weight)
    torch.nn.init.zeros_(model.patches.bias)
    tokens = []
    model.layers.register_forward_pre_hook(lambda module, args: tokens.append(args[0]))
    model(torch.randn(1, 3, 12, 20, dtype=torch.float64))
    expected = []
    for row in range(3):
        for column in range(5):
            angles = [at * 10_000 ** (-band / 4) for at in (row, column) for band in range(4)]
            expected.append([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
    torch.testing.assert_close(tokens[0][0], torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"layers": 1}, "layers 1: must be 2, 3 or 4"),
        ({"layers": 5}, "layers 5: must be 2, 3 or 4"),
        ({"width": 18, "heads": 3}, "width 18: must be a positive multiple of 4"),
        ({"heads": 3}, "heads 3: must be positive and divide the width 256"),
        ({"mlp_ratio": 0.0}, "mlp_ratio 0.0"),
        ({"patch_size": 0}, "patch_size 0"),
    ],
)
def test_bad_options_are_refused(option, said):
    with pytest.raises(ValueError, match=said):
        create_model("patch_transformer", num_classes=5, model_options=option)
