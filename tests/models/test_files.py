"""Model files: written, read back, damaged."""

from __future__ import annotations

import json

import pytest
import torch

from anychan.models import ModelInfo, create_model, load_model, save_model
from anychan.statistics import RunningStatistics


def _model():
    running = RunningStatistics(create_model("wide4", num_classes=2, model_options={"width": 3}).channels)
    running.update(torch.rand(4, 3, 8, 8))
    statistics = running.result()
    info = ModelInfo(
        "wide4", 2, "completed", statistics.described, ("cat", "dog"), 16, statistics, {"learnable": True}, {"width": 3}
    )
    return info.create().eval(), info


def test_round_trip(tmp_path):
    model, info = _model()
    save_model(tmp_path / "new" / "folder", model, info)
    read, read_info = load_model(tmp_path / "new" / "folder")
    assert read_info.to_dict() == info.to_dict()
    assert not read.training
    x = torch.randn(2, 2, 16, 16)
    assert torch.equal(read(x, "BR"), model(x, "BR"))
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == ["model.json", "model.safetensors"]


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_model(tmp_path)
    model, info = _model()
    save_model(tmp_path, model, info)
    weights, description = tmp_path / "model.safetensors", tmp_path / "model.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit"):
        load_model(tmp_path)
    weights.write_bytes(whole)
    record = json.loads(description.read_text())
    for change, said in (
        ({"model_options": {"width": 6}}, r"model\.safetensors does not fit"),
        ({"schema": 2}, "schema 1"),
        ({"kind": "run"}, "'run'"),
        ({"classes": ["cat"]}, "2 classes, but 1 names"),
    ):
        description.write_text(json.dumps({**record, **change}))
        with pytest.raises(ValueError, match=said):
            load_model(tmp_path)
    for text in ("{", json.dumps({k: v for k, v in record.items() if k != "classes"}), "[]"):
        description.write_text(text)
        with pytest.raises(ValueError, match=r"model\.json"):
            load_model(tmp_path)


def test_a_description_needs_means_to_normalise_by():
    with pytest.raises(ValueError, match="'R' has no mean"):
        ModelInfo("wide4", 1, "plain", create_model("wide4", num_classes=1).channels, ("cat",), 16)
