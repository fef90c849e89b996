"""Weights trained elsewhere: taken over from a file, downloaded by timm, refused where they do not fit."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from anychan.adaptation import specialize
from anychan.cli import main
from anychan.data import load_split, open_dataset, split_statistics
from anychan.models import create_model, load_model, read_pretrained
from anychan.training import TrainConfig, initial, train
from anychan.training.config import NormalisationConfig, ObjectiveConfig
from anychan.training.initial import Start, make_model, read_weights

from ._runs import described

DATA = "synthetic:bands=3,train=32,val=8,test=8,size=16,classes=4"
SETTINGS: dict[str, Any] = {"data": DATA, "image_size": 16, "model": "wide4", "model_options": {"width": 3}}
SHARED = {"objective": ObjectiveConfig("labels"), "normalisation": NormalisationConfig(statistics="shared")}


def network(classes: int = 4, channels: str = "RGB") -> nn.Module:
    """One that was trained: its statistics are not those of a new one."""
    torch.manual_seed(7)
    body = create_model("wide4", channels, classes, model_options={"width": 3}).body
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return body.eval()


def saved(path: Path, tensors: dict[str, Any]) -> Path:
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return path


class Code:
    """What makes a folder when it is unpickled by whoever runs what a pickle says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def start(folder: Path, **settings: Any) -> Start:
    config = TrainConfig(out=folder / "unused", cache_dir=folder, **{**SETTINGS, **settings})
    images = load_split(open_dataset(DATA), "train", 16, folder)
    return make_model(config, split_statistics(images), images.classes, read_weights(config))


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize("strategy", ["plain", "completed", "sliced"])
def test_a_file_is_taken_over_whole(tmp_path: Path, name: str, strategy: str) -> None:
    trained = network()
    file = saved(tmp_path / name, trained.state_dict())
    model, info, told = start(tmp_path, pretrained=file, strategy=strategy, **({} if strategy == "plain" else SHARED))
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model.eval()(x), trained(x))
    assert (info.strategy, model.strategy) == (strategy, strategy)
    assert told is not None
    assert (told["source"], told["head"]) == (str(file), "its head for 4 classes is taken too")
    assert told["warning"].startswith(
        "if these weights were pretrained on ImageNet, they have seen mini-ImageNet's test"
    )
    assert "planes" not in told  # three are R, G and B


def test_a_strategy_that_is_not_exact_takes_the_kernel_too(tmp_path: Path) -> None:
    trained = network()
    file = saved(tmp_path / "a.pth", {"state_dict": trained.state_dict(), "epoch": 3})
    model, _, _ = start(tmp_path, pretrained=file, strategy="attentive", **SHARED)
    (stem,) = model.stems.values()
    assert torch.equal(stem.weight, next(iter(trained.parameters())).sum(dim=1, keepdim=True))
    assert model(torch.randn(2, 1, 16, 16), "G").shape == (2, 4)


@pytest.mark.parametrize("kind", ["group", "renorm"])
def test_normalisations_are_replaced_with_what_they_have_learnt(tmp_path: Path, kind: Any) -> None:
    trained = network()
    nn.init.constant_(trained.features[0][1].weight, 3.0)
    file = saved(tmp_path / "a.pth", trained.state_dict())
    normalisation = NormalisationConfig(kind, "shared")
    model, _, _ = start(tmp_path, pretrained=file, normalisation=normalisation)
    assert torch.equal(model.body.features[0][1].weight, trained.features[0][1].weight)
    assert type(model.body.features[0][1]).__name__ == {"group": "GroupNorm", "renorm": "BatchRenorm2d"}[kind]


def test_a_head_of_other_classes_is_new_and_said_to_be(tmp_path: Path) -> None:
    trained = network(classes=9)
    file = saved(tmp_path / "a.safetensors", trained.state_dict())
    model, _, told = start(tmp_path, pretrained=file)
    assert told is not None
    assert told["head"] == "its head is for 9 classes, so that for 4 is new"
    now, before = model.body.state_dict(), trained.state_dict()
    different = [key for key in now if now[key].shape != before[key].shape]
    assert different
    assert all(key in different or torch.equal(now[key], before[key]) for key in now)
    body = {key: value for key, value in before.items() if key not in different}
    headless = saved(tmp_path / "b.pth", body)
    assert start(tmp_path, pretrained=headless).pretrained["head"] == "it has no head, so that for 4 is new"  # type: ignore[index]


def test_what_does_not_fit_is_refused_by_its_key(tmp_path: Path) -> None:
    good = network().state_dict()
    first = next(iter(good))
    for changed, said in (
        ({**good, "extra.weight": torch.zeros(2)}, "does not fit wide4: the network has no 'extra.weight'"),
        ({key: value for key, value in good.items() if key != first}, f"it lacks '{first}'"),
        ({**good, first: good[first][:, :2].clone()}, rf"'{first}' has shape \(\d+, 2, .*\), not \(\d+, 3, "),
        ({**good, first: "text"}, f"'{first}' is no tensor but str"),
    ):
        with pytest.raises(ValueError, match=said):
            start(tmp_path, pretrained=saved(tmp_path / "a.pth", changed))
    for name in ("b.pth", "b.safetensors"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(ValueError, match=rf"{name} holds no weights that can be read \("):
            start(tmp_path, pretrained=tmp_path / name)
    code = {**good, "run me": Code(tmp_path / "was run")}
    with pytest.raises(ValueError, match=r"c.pth holds no weights that can be read \("):
        start(tmp_path, pretrained=saved(tmp_path / "c.pth", code))
    assert not (tmp_path / "was run").exists()
    with pytest.raises(FileNotFoundError, match=r"none.pth, where pretrained weights are to be read, is no file"):
        start(tmp_path, pretrained=tmp_path / "none.pth")
    file = saved(tmp_path / "a.pth", good)
    with pytest.raises(ValueError, match="are of R, G and B in this order, and the run's channels are BGR"):
        start(tmp_path, pretrained=file, channels="BGR")
    with pytest.raises(ValueError, match=r"initial .* must be left out with pretrained"):
        start(tmp_path, pretrained=file, initial=tmp_path)
    of_two = saved(tmp_path / "two.pth", network(channels="RG").state_dict())
    taken = start(tmp_path, pretrained=of_two, channels="RG")
    assert len(taken.info.channels) == 2
    assert taken.pretrained is not None
    assert taken.pretrained["planes"] == "the planes of its kernels are taken for RG, in this order"


@pytest.mark.parametrize("strategy", ["plain", "sliced", "completed"])
def test_weights_of_other_channels_are_taken_by_name(tmp_path: Path, strategy: str) -> None:
    trained = network()
    file = saved(tmp_path / "a.pth", trained.state_dict())
    options = {"strategy": strategy, **({} if strategy == "plain" else SHARED)}
    x = torch.randn(2, 3, 16, 16)
    model, info, told = start(tmp_path, pretrained=file, channels="RGB", trained_on="B,R,G", **options)
    torch.testing.assert_close(model.eval()(x), trained(x[:, [2, 0, 1]]), rtol=1e-4, atol=1e-4)
    assert told is not None
    assert told["planes"] == "the planes of its kernels are taken for B,R,G, in this order"
    of_two = saved(tmp_path / "two.pth", network(channels="RB").state_dict())
    model, info, told = start(tmp_path, pretrained=of_two, trained_on="RB", new_kernels="wavelength", **options)
    assert (model.strategy, info.channels.names) == (strategy, ("R", "G", "B"))
    assert told is not None
    assert told["planes"].endswith("taken for RB, in this order, and others are made from them by wavelength")
    kernel = model.body.features[0][0].weight if strategy == "plain" else next(iter(model.stems.values())).weight
    if strategy != "completed":  # G lies between R and B
        assert not torch.equal(kernel[:, 1], kernel[:, 0])
    assert model.eval()(x).shape == (2, 4)


def test_batch_renormalisation_goes_with_weights_of_other_channels(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.pth", network().state_dict())
    normalisation = NormalisationConfig("renorm", "shared")
    model, _, _ = start(tmp_path, pretrained=file, trained_on="B,R,G", strategy="plain", normalisation=normalisation)
    assert type(model.body.features[0][1]).__name__ == "BatchRenorm2d"


def test_a_plain_network_whose_stem_would_be_another_module_is_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"channels": [128] * 4, "stem_chs": 32}
    small = {"model": "resnetv2_50x1_bit", "model_options": options, "image_size": 64}
    trained = create_model("resnetv2_50x1_bit", "RGB", 4, model_options=options).body
    file = saved(tmp_path / "a.pth", trained.state_dict())
    with pytest.raises(ValueError, match=r"cannot take other planes .*: its StdConv2d at 'stem\.conv' would"):
        start(tmp_path, pretrained=file, trained_on="B,R,G", strategy="plain", **small)
    model, _, _ = start(tmp_path, pretrained=file, trained_on="B,R,G", strategy="sliced", **small)
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model.eval()(x), trained.eval()(x[:, [2, 0, 1]]), rtol=1e-3, atol=1e-3)


def test_what_could_not_be_saved_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_more(model: Any) -> nn.Module:
        body = specialize(model)
        body.add_module("more", nn.Linear(1, 1))
        return body

    monkeypatch.setattr(initial, "specialize", with_more)
    file = saved(tmp_path / "a.pth", network().state_dict())
    with pytest.raises(
        ValueError, match=r"the description is of another model, .*: body\.more\.weight is None in what"
    ):
        start(tmp_path, pretrained=file, trained_on="B,R,G", strategy="plain")


def test_wavelengths_of_channels_that_the_run_has_not_are_the_datas(tmp_path: Path) -> None:
    file = saved(tmp_path / "two.pth", network(channels="RB").state_dict())
    model, _, _ = start(
        tmp_path, pretrained=file, channels="G", trained_on="RB", new_kernels="wavelength", strategy="plain"
    )
    assert model.eval()(torch.randn(2, 1, 16, 16)).shape == (2, 4)


def test_other_channels_are_only_those_of_pretrained_weights(tmp_path: Path) -> None:
    file = saved(tmp_path / "two.pth", network(channels="RB").state_dict())
    with pytest.raises(ValueError, match="'G' is not among those trained on, RB, and new_kernels is None"):
        start(tmp_path, pretrained=file, trained_on="RB")
    with pytest.raises(ValueError, match=r"trained_on 'RB' must be left out without pretrained"):
        start(tmp_path, trained_on="RB")
    with pytest.raises(ValueError, match=r"new_kernels 'mean' must be left out without trained_on"):
        start(tmp_path, pretrained=file, new_kernels="mean")
    with pytest.raises(ValueError, match="does not fit wide4"):
        start(tmp_path, pretrained=file, trained_on="RGB")


def test_a_run_says_what_it_started_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = saved(tmp_path / "own.pth", network(9).state_dict()), tmp_path / "run"
    words = ["train", "--data", DATA, "--model", "wide4", "--model-options", '{"width": 3}', "--image-size", "16"]
    words += ["--epochs", "1", "--cache-dir", str(tmp_path / "cache"), "--out", str(out), "--strategy", "sliced"]
    assert main([*words, "--pretrained", str(file)]) == 0
    said = capsys.readouterr().err
    assert f"weights from {file}; its head is for 9 classes, so that for 4 is new" in said
    assert "stand in ImageNet's training set" in said
    record = described(out)
    assert record["config"]["pretrained"] == str(file)
    assert record["weights"] == {"pretrained": sha256(file.read_bytes()).hexdigest()}
    assert record["pretrained"]["source"] == str(file)
    assert f"--pretrained {file}" in record["command"]
    assert load_model(out)[1].strategy == "sliced"
    saved(file, network(5).state_dict())
    assert main([*words, "--pretrained", str(file), "--resume", "true"]) == 2
    assert "pretrained: another model" in capsys.readouterr().err
    assert main([*words, "--resume", "true"]) == 2
    assert "pretrained: another model" in capsys.readouterr().err


def test_weights_that_cannot_be_downloaded_are_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    out, cache = tmp_path / "run", tmp_path / "cache"
    words = ["train", "--data", DATA, "--out", str(out), "--cache-dir", str(cache), "--image-size", "32"]
    assert main([*words, "--model", "mobilenetv3_small_050", "--pretrained", "true"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("anychan: error: the weights timm/mobilenetv3_small_050.lamb_in1k cannot be downloaded (")
    assert not [path for path in (out, cache) if path.exists()]
    for model in ("wide4", "resnet10t_none"):
        with pytest.raises(ValueError, match=r"there are no pretrained weights of .* to download: name a file"):
            read_pretrained(model, True)


def test_what_timm_downloads_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, name = timm.create_model, "mobilenetv3_small_050"
    torch.manual_seed(3)
    trained = make(name)

    def downloaded(model_name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        return trained if pretrained else make(model_name, **options)

    monkeypatch.setattr(timm, "create_model", downloaded)
    small = {"data": DATA, "image_size": 16, "model": name, "cache_dir": tmp_path, "epochs": 1}
    run = train(TrainConfig(out=tmp_path / "run", pretrained=True, **small))
    assert described(run)["weights"] == {"pretrained": f"timm/{name}.lamb_in1k"}
    assert "its head is for 1000 classes" in described(run)["pretrained"]["head"]
    assert described(run)["pretrained"]["warning"].startswith("weights pretrained on ImageNet have seen")
    with pytest.raises(ValueError, match="the run's channels are RG"):
        train(TrainConfig(out=tmp_path / "other", pretrained=True, channels="RG", **small))
