"""Max pooling by maxima of slices."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from anychan.blocks import NonOverlappingMaxPool2d
from anychan.models import create_model

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("size", "sides"), [(2, (8, 8)), (2, (9, 7)), (4, (16, 18)), (1, (3, 3)), (3, (3, 5))])
def test_it_is_max_pooling(size: int, sides: tuple[int, int], layout: torch.memory_format) -> None:
    x = torch.randn(2, 5, *sides).contiguous(memory_format=layout)
    x[0, 0, 0, 0] = torch.nan
    expected = nn.MaxPool2d(size)(x)
    with torch.inference_mode():
        found = NonOverlappingMaxPool2d(size)(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert found.is_contiguous(memory_format=layout)


def test_gradients_are_those_of_max_pooling() -> None:
    x = torch.randint(0, 3, (2, 3, 6, 6)).float()  # with ties, which maxima would share the gradient of
    grads = []
    for pool in (nn.MaxPool2d(2), NonOverlappingMaxPool2d(2)):
        leaf = x.clone().requires_grad_()
        pool(leaf).square().sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(*grads, rtol=0, atol=0)


def test_an_exported_graph_has_the_pooling_itself() -> None:
    exported = torch.export.export(NonOverlappingMaxPool2d(2), (torch.randn(1, 2, 4, 4),))
    assert "max_pool2d" in str(exported.graph)


def test_too_small_a_map_is_refused() -> None:
    with torch.inference_mode(), pytest.raises(RuntimeError, match="too small"):
        NonOverlappingMaxPool2d(4)(torch.randn(1, 2, 3, 8))


@pytest.mark.parametrize("name", ["wide6", "wide4", "parallel6"])
def test_networks_answer_alike_with_and_without_gradients(name: str) -> None:
    model = create_model(name, "RGB", 4, model_options={"width": 12}).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        found = model(x)
    torch.testing.assert_close(found, model(x.requires_grad_()).detach())
