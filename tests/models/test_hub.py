"""Sharing: saved, read back and pushed; the card and the records it is made from. Nothing goes over a network."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard

from anychan.channels import ChannelSet
from anychan.models import ModelInfo, hub, load_model, save_model
from anychan.models.card import model_card
from anychan.models.hub import PretrainedModel

RECORDS = Path(__file__).parents[2] / "docs" / "records"


def _info(strategy: str = "sliced", **changes) -> ModelInfo:
    channels = ChannelSet.parse("RGB").with_statistics([0.48, 0.45, 0.4], [0.27, 0.26, 0.28])
    return ModelInfo("wide4", 2, strategy, channels, ("cat", "dog"), 16, model_options={"width": 3}, **changes)


@pytest.fixture
def pretrained():
    info = _info()
    torch.manual_seed(0)
    return PretrainedModel(info.create().eval(), info)


def test_what_is_saved_is_a_model_file_and_is_read_back(pretrained, tmp_path):
    pretrained.save_pretrained(tmp_path / "shared")
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [
        "README.md", "config.json", "model.json", "model.safetensors",
    ]  # fmt: skip
    x = torch.randn(1, 2, 16, 16)
    for model, info in (load_model(tmp_path / "shared"), _both(PretrainedModel.from_pretrained(tmp_path / "shared"))):
        assert torch.equal(model(x, "RG"), pretrained.model(x, "RG"))
        assert info == pretrained.info
    assert PretrainedModel.from_pretrained(tmp_path / "shared").card == pretrained.card
    assert json.loads((tmp_path / "shared" / "config.json").read_text())["library_name"] == "anychan"
    with pytest.raises(ValueError, match="does not take strict"):
        PretrainedModel.from_pretrained(tmp_path / "shared", strict=True)


def _both(shared: PretrainedModel):
    return shared.model, shared.info


def test_it_is_pushed_as_one_commit_of_these_files(pretrained, monkeypatch):
    pushed = {}

    class Api:
        def __init__(self, token=None) -> None:
            pushed["token"] = token

        def create_repo(self, repo_id, private, exist_ok):
            pushed["private"] = private
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload_folder(self, *, repo_id, folder_path, **_):
            pushed["files"] = {path.name: path.stat().st_size for path in Path(folder_path).iterdir()}
            pushed["model"] = load_model(folder_path)[1]
            return f"https://huggingface.co/{repo_id}/commit/1"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    assert pretrained.push_to_hub("somebody/two-animals", private=True, token="t").endswith("two-animals/commit/1")
    assert set(pushed["files"]) == {"README.md", "config.json", "model.json", "model.safetensors"}
    assert (pushed["private"], pushed["token"], pushed["model"]) == (True, "t", pretrained.info)


def test_a_name_on_the_hub_is_fetched_without_anything_to_run(pretrained, tmp_path, monkeypatch):
    pretrained.save_pretrained(tmp_path / "there")
    asked = {}

    def fetch(name, **options):
        asked.update(options, name=name)
        return str(tmp_path / "there")

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    monkeypatch.setattr(
        "huggingface_hub.hub_mixin.hf_hub_download", lambda **_: str(tmp_path / "there" / "config.json")
    )
    monkeypatch.chdir(tmp_path)
    assert PretrainedModel.from_pretrained("somebody/two-animals", revision="v1").info == pretrained.info
    assert (asked["name"], asked["revision"]) == ("somebody/two-animals", "v1")
    assert asked["allow_patterns"] == ["model.safetensors", "model.json", "README.md", "config.json"]


def test_the_card_of_a_run_tells_its_records(tmp_path):
    info = _info()
    save_model(tmp_path, info.create(), info)
    for name in ("run.json", "evaluation/test.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((RECORDS / "any" / name).read_bytes())
    record = json.loads((tmp_path / "evaluation" / "test.json").read_text())
    run = json.loads((tmp_path / "run.json").read_text()) | {"commit": "b"}
    run["resumed_from"] = [{"commit": "a", "epochs": 2, "step": 0}]
    (tmp_path / "run.json").write_text(json.dumps(run))
    results = record["results"]
    results[1]["top5"] = None  # of few classes
    results.append({**results[-1], "fill": "zeros", "accuracy": 0.0123})  # a fill's row is not the model's own
    (tmp_path / "evaluation" / "test.json").write_text(json.dumps(record))
    card = PretrainedModel.from_run(tmp_path).card
    for row in results:
        low, high = row["accuracy_interval"]
        cells = f"| {row['subset']} | {row['n']:,} | {row['accuracy']:.1%} | {low:.1%} to {high:.1%} |"
        top5 = "-" if row["top5"] is None else f"{row['top5']:.1%}"
        assert (f"{cells} {top5} |" in card) == (row["fill"] == "")
    for said in (
        "24,000 train, 1,000 val, 2,500 test",
        "10 epochs, seed 0, channel sampling *hierarchical*, objective *sandwich*. Commit `a` and `b`.",
        "## Intended use",
        "Classes: cat; dog.",
        "R 0.4800 ± 0.2700",
        "finds fewest of the class",
    ):
        assert said in card
    assert "/work" not in card
    assert ".." not in card
    head = ModelCard(card).data
    assert (head.library_name, head.pipeline_tag) == ("anychan", "image-classification")


def test_a_card_without_records_says_what_is_not_known(tmp_path):
    card = model_card(_info("plain"), tmp_path)
    assert "what it was trained on is not known" in card
    assert "how good it is is not known" in card
    assert "It takes all of RGB, and no fewer" in card
    assert "takes no other subset" in model_card(_info(kept_subsets=("RGB", "R")))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        model_card(_info(), tmp_path)


def test_saving_again_writes_the_card_again(pretrained, tmp_path):
    pretrained.save_pretrained(tmp_path)
    again = PretrainedModel(pretrained.model, pretrained.info, "---\ntags: [b]\n---\n\nanother card\n")
    again.save_pretrained(tmp_path)
    assert "another card" in (tmp_path / "README.md").read_text(encoding="utf-8")
