"""The recurrent network over patches: size, depth, its sweeps against plain loops, options."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from anychan.cost import count_macs, depth
from anychan.models import create_model
from anychan.models.patch_recurrent import RecurrentLayer, patch_recurrent


@pytest.mark.parametrize(("layers", "parameters", "macs"), [(1, 619_058, 154_153_472), (2, 1_212_466, 305_148_416)])
def test_what_it_costs(layers, parameters, macs):
    with torch.device("meta"):
        model = patch_recurrent(num_classes=50, layers=layers)
    assert depth(model, image_size=64) == 2 + 4 * layers
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert count_macs(model, image_size=64).forward == macs


def test_images_of_any_size():
    model = patch_recurrent(num_classes=5, width=16).eval()
    for size in ((32, 32), (45, 70)):
        assert model(torch.randn(2, 3, *size)).shape == (2, 5)


def _read(unit: nn.GRU, line: list[Tensor], suffix: str) -> list[Tensor]:
    """States of one direction of a gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), a step at a time."""
    get = {name: getattr(unit, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    state, states = torch.zeros(unit.hidden_size, dtype=torch.float64), []
    for x in line:
        (r, z, n), (hr, hz, hn) = (
            (get[f"weight_{kind}"] @ of + get[f"bias_{kind}"]).chunk(3) for kind, of in (("ih", x), ("hh", state))
        )
        update = torch.sigmoid(z + hz)
        state = (1 - update) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + update * state
        states.append(state)
    return states


def _sweep(unit: nn.GRU, line: list[Tensor]) -> list[Tensor]:
    forward, backward = _read(unit, line, ""), _read(unit, line[::-1], "_reverse")[::-1]
    return [torch.cat(both) for both in zip(forward, backward, strict=True)]


def test_a_layer_as_plain_loops():
    torch.manual_seed(0)
    layer, x = RecurrentLayer(4).double().eval(), torch.randn(2, 4, 3, 5, dtype=torch.float64)
    expected = torch.empty_like(x)
    for n in range(2):
        rows = [_sweep(layer.rows.recurrent, [x[n, :, i, j] for j in range(5)]) for i in range(3)]
        for j in range(5):
            column = _sweep(layer.columns.recurrent, [rows[i][j] for i in range(3)])
            for i in range(3):
                expected[n, :, i, j] = column[i] / (1 + layer.norm.eps) ** 0.5
    torch.testing.assert_close(layer(x), expected)


def test_after_one_layer_each_place_has_heard_of_every_other():
    torch.manual_seed(0)
    layer, x = RecurrentLayer(4).double().eval(), torch.randn(1, 4, 3, 4, dtype=torch.float64)
    felt = torch.autograd.functional.jacobian(layer, x).abs().amax(dim=(0, 1, 4, 5))  # (3, 4, 3, 4)
    assert (felt > 0).all()


@pytest.mark.filterwarnings("ignore:The tensor attributes.*_flat_weights")  # of every torch.nn.GRU
def test_exported_it_gives_the_same():
    torch.manual_seed(0)
    model = patch_recurrent(num_classes=5, width=16).eval()
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(model, (torch.randn(2, 3, 32, 32),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(exported(x), model(x))


@pytest.mark.parametrize("option", [{"layers": 0}, {"width": 15}, {"patch_size": 0}])
def test_bad_options_are_refused(option):
    name = next(iter(option))
    with pytest.raises(ValueError, match=f"{name} {option[name]}: must be"):
        create_model("patch_recurrent", num_classes=5, model_options=option)
