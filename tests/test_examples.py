"""The examples run."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def main_of(name: str) -> Callable[[list[str]], Any]:
    return example(name)["main"]


def test_every_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"any_bands", "export_onnx", "fine_tune_new_bands"}


def test_no_test_image_is_left_out() -> None:
    made = example("fine_tune_new_bands")
    test = made["Split"](torch.zeros(257, 2, 4, 4), torch.zeros(257, dtype=torch.long))  # in batches of 256
    assert made["accuracy_of"](lambda x: torch.eye(2)[0].expand(len(x), 2), test, [0]) == 1
    assert [len(y) for _, y in test.batches(256)] == [256, 1]
    assert [len(y) for _, y in test.batches(256, torch.Generator(), at_least=2)] == [256]


@pytest.mark.filterwarnings("ignore")
def test_fine_tuning_on_new_bands(capsys: pytest.CaptureFixture[str]) -> None:
    results = main_of("fine_tune_new_bands")(["--data", "synthetic:bands=4,train=600,test=300"])
    before, after = zip(*results.values(), strict=True)
    assert list(results) == ["R,G,B,NIR", "R,G,B", "R", "G", "B", "NIR"]
    assert results["R,G,B"][0] > 0.2, "the weights to start from are worth nothing"
    assert results["R,G,B,NIR"][1] > results["R,G,B"][0], "the new band is of no use"
    assert sum(after) > sum(before)
    assert "R,G,B,NIR" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_fine_tuning_from_a_file_of_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    data = "synthetic:bands=4,train=64,test=9"
    results = main_of("fine_tune_new_bands")(["--data", data, "--epochs", "1", "--weights", str(weights)])
    assert len(results) == 6


def test_any_bands(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--images", "900", "--size", "16", "--width", "8"]
    results = main_of("any_bands")([*settings, "--epochs", "6"])
    said = capsys.readouterr().out
    assert list(results) == ["all 13 bands", "RGB", "NIR+SWIR", "landsat-8-9-oli", "rgb-nir"]
    assert "Accuracy on 300 test images; chance is 0.111" in said
    # One model answers from all bands, from three, from infrared alone, and about sensors it never saw: here 0.42,
    # 0.27, 0.43, 0.45 and 0.41, each with a standard error below 0.03.
    assert min(results.values()) > 0.17, "on some bands it is no better than chance"
    assert min(value for name, value in results.items() if name != "RGB") > 0.3
    for name, value in results.items():
        assert f"{name:20} {value:.3f}" in said
    untrained = main_of("any_bands")([*settings, "--epochs", "0"])
    assert max(untrained.values()) < 0.25, "it is not the training that tells the classes"
    assert "landsat-8-9-oli: 8 of its 9 bands were trained on, 1 never" in said
    assert "rgb-nir: 1 of its 4 bands were trained on, 3 never" in said


def test_one_file_for_every_subset(tmp_path: Path) -> None:
    answers = main_of("export_onnx")(["--out", str(tmp_path / "bands.onnx")])
    assert list(answers) == ["R,G,B,NIR", "NIR,R", "G"]
    assert all(abs(found.sum(axis=1) - 1).max() < 1e-5 for found in answers.values())
    with pytest.raises(ValueError, match="no answer for R, R"):
        example("export_onnx")["Classifier"](tmp_path / "bands.onnx").probabilities(
            torch.zeros(1, 2, 8, 8).numpy(), "RR"
        )
