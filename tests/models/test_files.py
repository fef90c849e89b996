"""Model files: written, read back, damaged."""

from __future__ import annotations

import dataclasses
import json
import os
import stat

import pytest
import torch
from torch import nn

from anychan import Channel, ChannelSet, packaged, recalibrate
from anychan.models import ModelInfo, create_model, find_model, load_model, save_model
from anychan.statistics import ChannelStatistics, RunningStatistics

CORRELATED = ChannelStatistics(
    ChannelSet.parse("RGB"), torch.zeros(3).double(), 0.1 * torch.eye(3).double() + 0.9, count=9
)


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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_are_for_those_for_whom_the_users_files_are(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        save_model(tmp_path, *_model())
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [mode, mode]


def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path, full_disk):
    model, info = _model()
    save_model(tmp_path, model, info)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    big = dataclasses.replace(info, model_options={"width": 64})
    refused = pytest.raises(OSError, match=r"model\.safetensors cannot be written \(is the disk full\?\): .+")
    with refused, full_disk(len(before[tmp_path / "model.json"]) + 100):
        save_model(tmp_path, big.create(), big)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


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
        ({"numbers": {"X": {"scale": 2}}}, "numbers of 'X' are"),
    ):
        description.write_text(json.dumps({**record, **change}))
        with pytest.raises(ValueError, match=said):
            load_model(tmp_path)
    for text in ("{", json.dumps({k: v for k, v in record.items() if k != "classes"}), "[]"):
        description.write_text(text)
        with pytest.raises(ValueError, match=r"model\.json"):
            load_model(tmp_path)


def test_statistics_of_channels_that_the_model_was_not_made_with_are_kept(tmp_path):
    made = dataclasses.replace(_model()[1], strategy="spectral", strategy_options={})
    model = made.create()
    seen, unseen = [Channel("R"), Channel("B")], [Channel("R"), Channel("B8A", 0.865)]
    for channels in (seen, unseen, [Channel("B8A", 0.9)]):
        recalibrate(model, [torch.randn(4, len(channels), 16, 16)], [channels], channels)
    with pytest.raises(ValueError, match=r"kept_subsets is \[\] in .* and \['B8A', 'R,B8A', 'RB'\] in the model"):
        save_model(tmp_path / "not", model, made)
    assert not (tmp_path / "not").exists()
    info = dataclasses.replace(made, kept_subsets=tuple(model.subset_statistics.subsets))
    save_model(tmp_path, model, info)
    read, read_info = load_model(tmp_path)
    assert read_info.kept_subsets == info.kept_subsets
    assert read_info.kept_subsets[0] == "RB"
    x = torch.randn(2, 2, 16, 16)
    assert torch.equal(read(x, unseen), model.eval()(x, unseen))


def test_a_description_of_another_model_is_refused(tmp_path):
    model, info = _model()
    state = torch.get_rng_state()
    for change, said in (
        ({"strategy": "sliced", "strategy_options": {}}, "strategy is sliced in what it describes, and completed in"),
        ({"channels": info.channels.subset("BGR")}, "channels is "),
        ({"model_options": {"width": 4}}, r"body\..* is \(4, .* in what it describes, and \(3, "),
        ({"kept_subsets": ("RGB",)}, r"kept_subsets is \['RGB'\] in what it describes, and \[\] in the model"),
    ):
        with pytest.raises(ValueError, match=said):
            save_model(tmp_path / "new", model, dataclasses.replace(info, **change))
    assert not (tmp_path / "new").exists()
    save_model(tmp_path / "new", model, info)
    assert torch.equal(torch.get_rng_state(), state)  # a run goes on as if it had not been saved


def _described(**options):
    rgb = ChannelSet.parse("RGB").with_statistics([0.5] * 3, [0.2] * 3)
    return ModelInfo(
        "wide4", 2, options.pop("strategy"), rgb, ("cat", "dog"), 16, **options, model_options={"width": 3}
    )


@pytest.mark.parametrize(
    ("info", "options"),
    [
        (_described(strategy="pooled"), {"pooling": "sum"}),
        (_described(strategy="completed", statistics=CORRELATED), {"ridge": 0.3}),
        (_described(strategy="sliced", kept_subsets=("RG", "G")), {"selection": "random"}),
    ],
)
def test_a_description_that_lacks_options_is_refused(tmp_path, info, options):
    """Names and shapes are the same, so that another model would be read back."""
    made = dataclasses.replace(info, strategy_options=options)
    model = made.create().train()
    with pytest.raises(ValueError, match="answers otherwise than the network that info describes, on "):
        save_model(tmp_path, model, info)
    assert not list(tmp_path.iterdir())
    state = torch.get_rng_state()
    save_model(tmp_path, model, made)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())


def test_a_model_whose_modules_were_changed_is_not_what_its_description_says(tmp_path):
    info = _described(strategy="plain")
    for path, other in (("body.features.0.2", nn.Tanh()), ("body.dropout", nn.Unflatten(1, (1, -1)))):
        model = info.create()
        model.set_submodule(path, other)
        with pytest.raises(ValueError, match=r"answers otherwise than .* on RGB: info lacks options"):
            save_model(tmp_path, model, info)
    with pytest.raises(ValueError, match="wide4 does not take images of 1x1 pixels"):
        save_model(tmp_path, info.create(), dataclasses.replace(info, image_size=1))


@pytest.mark.parametrize("options", [{}, {"selection": "random", "at_test": "random"}], ids=["named", "drawn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_models_of_any_number_format_are_what_their_description_says(tmp_path, dtype, options):
    info = _described(strategy="sliced", strategy_options=options)
    model = info.create().to(dtype, memory_format=torch.channels_last)
    model.compile()
    save_model(tmp_path, model, info)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    save_model(tmp_path, model, info)  # a training that failed can be looked at
    assert next(load_model(tmp_path)[0].parameters()).isnan().all()


def test_a_description_needs_means_to_normalise_by():
    with pytest.raises(ValueError, match="'R' has no mean"):
        ModelInfo("wide4", 1, "plain", create_model("wide4", num_classes=1).channels, ("cat",), 16)


def test_a_model_is_named_by_folder_file_or_packaged_name(tmp_path, monkeypatch):
    model, info = _model()
    shipped = tmp_path / "shipped"
    monkeypatch.setattr(packaged, "FOLDER", shipped)
    monkeypatch.chdir(tmp_path)
    save_model(shipped / "two-animals", model, info)
    save_model(tmp_path / "run", model, info)
    for name in ("run", "run/model.safetensors", "run/model.json", tmp_path / "run"):
        assert find_model(name).resolve() == tmp_path / "run"
    assert find_model("two-animals") == shipped / "two-animals"
    assert load_model("two-animals")[1].classes == ("cat", "dog")
    save_model(tmp_path / "two-animals", model, info)  # what is there as a path comes first
    assert find_model("two-animals").resolve() == tmp_path / "two-animals"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        (
            "run/config.yaml",
            ValueError,
            r"config\.yaml is no model file: a model is model\.safetensors with model\.json",
        ),
        ("wide4", FileNotFoundError, r"wide4 is a network's name.*a run folder, a model file.*\(two-animals\)"),
        ("three-animals", FileNotFoundError, r"three-animals is not there.*a packaged model's name \(two-animals\)"),
        ("../two-animals", FileNotFoundError, "is not there"),
        ("", FileNotFoundError, "holds no model"),
    ],
)
def test_what_names_no_trained_model_is_told_what_would(tmp_path, monkeypatch, name, error, said):
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "shipped")
    save_model(tmp_path / "shipped" / "two-animals", *_model())
    (tmp_path / "here" / "run").mkdir(parents=True)
    (tmp_path / "here" / "run" / "config.yaml").touch()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(error, match=said):
        find_model(name)


def test_a_network_of_a_plugin_that_is_not_there_is_told_with_its_package(tmp_path):
    save_model(tmp_path, *_model())
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace('"wide4"', '"three_convs"'))
    with pytest.raises(ValueError, match=r"unknown model 'three_convs'; [^;]*; [^;]*$"):
        load_model(tmp_path)
    versions = {"python": "3.9", "anychan": "0.0.1", "pytest": "1.0", "own-methods": "0.3.1"}
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "kind": "run", "versions": versions}))
    said = r"unknown model 'three_convs'; .*; it was trained with own-methods 0\.3\.1, not installed here$"
    with pytest.raises(ValueError, match=said):
        load_model(tmp_path)
