"""Validation against the plain formula, over more than one batch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from anychan.channels import ChannelSet
from anychan.data import ImageArray
from anychan.models import create_model
from anychan.training import validation
from anychan.training.batches import Inputs
from anychan.training.config import TrainConfig
from anychan.training.machine import Machine, start_accelerator


@pytest.mark.parametrize("batch", [4, 128])
def test_loss_and_accuracy_are_means_over_all_images(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(validation, "_BATCH", batch)
    torch.manual_seed(0)
    known = ChannelSet.parse("RGB").with_statistics([0.5] * 3, [0.2] * 3)
    images = torch.randint(0, 256, (10, 3, 16, 16), dtype=torch.uint8)
    labels = torch.randint(0, 3, (10,))
    array = ImageArray(images, labels, tuple(map(str, range(10))), known, ("a", "b", "c"), (), "f")
    model = create_model("wide6", known, 3, "sliced", model_options={"width": 4})
    inputs = Inputs(array, known, torch.device("cpu"), Machine("cpu", "float32", True, 1))
    accelerator = start_accelerator(TrainConfig(data="", out=".", device="cpu"))
    red = known.subset("R")
    loss, accuracy = validation.validate(model, inputs, red, Machine("cpu", "float32", True, 1), accelerator)
    logits = model.eval()((images[:, :1] / 255 - 0.5) / 0.2, channels="R")
    assert loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item())
