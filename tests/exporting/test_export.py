"""Files that answer as their model does, without anychan, or are not there."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from timm.layers import Conv2dSame
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.mobilenetv3 import MobileNetV3
from torch import Tensor, nn

import anychan
from anychan.adaptation import adapt
from anychan.channels import Channel, ChannelSet
from anychan.exporting import CheckFailedError, _check, export
from anychan.models import create_model, save_model

from ._small import BANDS, CLASSES, COVARIANCE, INFO, MEAN, Small, ids, images, places, small

CALLS = ["R,G,NIR", "NIR,R", "G"]


def run_onnx(path: str | Path, *inputs: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    named = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return torch.from_numpy(session.run(["logits"], named)[0])


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


# Each kind of stem once; that each strategy's tables hold what they should is asked in test_graph.py.
KINDS = [
    ("completed", {"mean": MEAN}, "onnx"),
    ("mixed", {"attentions": "omni"}, "onnx"),
    ("attentive", {}, "onnx"),
    ("pooled", {"pooling": "attention"}, "torch"),
]


@pytest.mark.parametrize(
    ("number", "kind"), list(enumerate(KINDS)), ids=lambda given: given[0] if isinstance(given, tuple) else ""
)
def test_all_subsets_in_one_graph(number, kind, tmp_path):
    *variant, form = kind
    model = small(*variant, kept=number % 2 == 0)
    made = export(model, tmp_path / "all", format=form, info=INFO)
    assert made.dynamic == ("batch", "channels", "height", "width")
    assert made.subsets is not None
    assert len(made.subsets) == 7
    assert made.check["difference"] < 1e-4
    assert made.check["same_class"] == made.check["images"] == 4 + 3 * 2 * 36
    assert [path.name for path in tmp_path.iterdir()] == ["all"]
    run = torch.export.load(made.path).module() if form == "torch" else partial(run_onnx, made.path)
    for n, names in enumerate(CALLS, start=1):
        x = images(n, names.count(",") + 1, (19, 33))
        close(run(x, places(names)), model(x, names))


@pytest.mark.parametrize("variant", [("sliced", {}), ("mixed", {})], ids=ids)
def test_one_channel_set(variant, tmp_path):
    model = small(*variant, kept=True)
    made = export(model, tmp_path / "fixed.onnx", "NIR,R", info=INFO)
    assert (made.channels, made.subsets) == (("NIR", "R"), None)
    x = images(5, 2, (19, 33))
    close(run_onnx(made.path, x), model(x, "NIR,R"))


def test_a_plain_network_is_exported_as_it_is(tmp_path):
    model = create_model("wide4", BANDS, 4, model_options={"width": 3}).eval()
    made = export(model, tmp_path / "plain.onnx", info=INFO)
    assert made.subsets is None
    close(run_onnx(made.path, images(2, 3, (32, 32))), model(images(2, 3, (32, 32))))
    with pytest.raises(ValueError, match="a plain model takes all of R,G,NIR"):
        export(model, tmp_path / "part.onnx", "R", info=INFO)


@pytest.mark.parametrize("strategy", ["sliced", "tokens"])
def test_a_vision_transformer_keeps_its_size(strategy, tmp_path):
    torch.manual_seed(0)
    body = timm.create_model("test_vit", img_size=32, num_classes=4, dynamic_img_size=False)
    model = adapt(body, BANDS, strategy, trained_on=BANDS).eval()
    channels = "NIR,R" if strategy == "tokens" else None
    made = export(model, tmp_path / "vit.onnx", channels, image_size=32)
    assert not {"height", "width"} & set(made.dynamic)
    assert "of 32 x 32 pixels only" in made.table()
    x = images(3, 2, (32, 32))
    close(run_onnx(made.path, x, *([] if channels else [places("NIR,R")])), model(x, "NIR,R"))
    if channels:
        with pytest.raises(ValueError, match="strategy 'tokens'"):
            export(model, tmp_path / "all.onnx", image_size=32)


def test_a_stem_that_pads_by_the_image_takes_any_size(tmp_path):
    torch.manual_seed(0)
    body = Small(len(BANDS))
    body.stem = Conv2dSame(len(BANDS), 6, 3, stride=2)
    model = adapt(body, BANDS, "sliced", trained_on=BANDS).eval()
    made = export(model, tmp_path / "same.onnx", image_size=32)
    assert made.dynamic == ("batch", "channels", "height", "width")
    x = images(2, 2, (19, 33))
    close(run_onnx(made.path, x, places("NIR,R")), model(x, "NIR,R"))


def test_a_network_that_branches_by_what_divides_a_size_keeps_its_size(tmp_path):
    torch.manual_seed(0)
    model = create_model("wide3", BANDS, 4, model_options={"width": 3, "grid": 2}).eval()
    made = export(model, tmp_path / "a.onnx", image_size=32)
    assert not {"height", "width"} & set(made.dynamic)
    close(run_onnx(made.path, images(2, 3, (32, 32))), model(images(2, 3, (32, 32))))


def test_a_program_that_would_refuse_the_models_own_size_keeps_to_it(tmp_path):
    model = adapt(timm.create_model("test_resnet", num_classes=4), BANDS, "sliced", trained_on=BANDS).eval()
    made = export(model, tmp_path / "a.pt2", "G", "torch", image_size=32)  # the last map is one pixel
    assert not {"height", "width"} & set(made.dynamic)
    close(torch.export.load(made.path).module()(images(2, 1, (32, 32))), model(images(2, 1, (32, 32)), "G"))


class Clamping(Small):
    """What it clamps three times, torch.onnx's optimiser would write without bounds."""

    def __init__(self, planes: int) -> None:
        super().__init__(planes)
        self.register_buffer("low", torch.tensor(-0.5))
        self.register_buffer("high", torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = 2 * self.stem(x).mean(dim=(2, 3))
        return sum(self.head(y.clamp(self.low, self.high)) for _ in range(3))


def test_a_network_that_clamps_a_map_several_times(tmp_path):
    model = adapt(Clamping(3), BANDS, "sliced", trained_on=BANDS).eval()
    made = export(model, tmp_path / "a.onnx", "NIR,R", image_size=16)
    assert "height" in made.dynamic
    close(run_onnx(made.path, images(2, 2)), model(images(2, 2), "NIR,R"))


class FiveAxes(Small):
    """Attention over maps, heads and windows, which torch.onnx does not translate, as in timm's Hiera."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x).flatten(2)[:, None, None]
        return self.head(nn.functional.scaled_dot_product_attention(y, y, y).mean(dim=(1, 2, 4)))


def test_attention_that_onnx_does_not_have_names_its_remedy(tmp_path):
    model = adapt(FiveAxes(3), BANDS, "sliced", trained_on=BANDS).eval()
    with pytest.raises(ValueError, match=r"cannot translate it: .*timm.layers.set_fused_attn\(False\) before"):
        export(model, tmp_path / "a.onnx", "R", image_size=16, any_size=False)


def test_a_comparison_of_zeros_says_that_it_says_nothing(tmp_path):
    model = small()
    assert "says nothing" not in export(model, tmp_path / "a.pt2", "R", "torch", info=INFO, any_size=False).table()
    nn.init.zeros_(model.body.head.weight)
    nn.init.zeros_(model.body.head.bias)
    made = export(model, tmp_path / "b.pt2", "R", "torch", info=INFO, any_size=False)
    assert "the model's logits are all 0, so that this says nothing of the file" in made.table()


def test_a_mobilenet(tmp_path):
    torch.manual_seed(0)
    blocks = decode_arch_def([["ds_r1_k3_s1_e1_c8_se0.25_nre"], ["ir_r1_k5_s2_e4_c16_nhs"]])  # two of its eleven
    body = MobileNetV3(blocks, num_classes=4, stem_size=8, num_features=32, act_layer=nn.Hardswish)
    model = adapt(body, BANDS, "completed", COVARIANCE, trained_on=BANDS).eval()
    made = export(model, tmp_path / "mobilenet.onnx", image_size=32)
    assert "height" in made.dynamic
    close(run_onnx(made.path, images(3, 2, (64, 96)), places("G,R")), model(images(3, 2, (64, 96)), "G,R"))


def test_a_file_for_a_channel_that_the_info_does_not_know(tmp_path):
    model = small("spectral", {})
    made = export(model, tmp_path / "a.pt2", [Channel("SWIR", 1.6), Channel("G")], "torch", info=INFO)
    assert made.channels == ("SWIR", "G")


def test_what_was_measured_has_no_range_of_shares(tmp_path):
    measured = ChannelSet(dataclasses.replace(channel, units="measured") for channel in INFO.channels)
    info = dataclasses.replace(INFO, channels=measured, numbers={"R": {"scale": 0.1, "nodata": 0.0}})
    made = export(small(), tmp_path / "a.onnx", "R,G", info=info)
    said = {prop.key: json.loads(prop.value) for prop in onnx.load(made.path).metadata_props}
    assert said["value_range"] is None
    assert said["values"].startswith("what was measured: the stored number times its scale plus its offset")
    assert (said["scale"], said["offset"], said["nodata"]) == ([0.1, None], [None, None], [0.0, None])


def test_both_forms_say_what_they_are(tmp_path):
    model = small()
    for form, name in (("onnx", "a.onnx"), ("torch", "a.pt2")):
        export(model, tmp_path / name, format=form, info=INFO)
    proto = onnx.load(tmp_path / "a.onnx")
    said = {prop.key: json.loads(prop.value) for prop in proto.metadata_props}
    extra = {"anychan.json": ""}
    torch.export.load(tmp_path / "a.pt2", extra_files=extra)
    assert json.loads(extra["anychan.json"]) == said
    assert said["classes"] == list(CLASSES)
    assert said["channels"] == ["R", "G", "NIR"]
    assert said["wavelengths"] == [0.665, 0.56, 0.842]
    assert (said["mean"], said["std"], said["value_range"]) == ([0.4, 0.5, 0.3], [0.2, 0.3, 0.1], [0.0, 1.0])
    assert (said["image_size"], said["anychan_version"], said["strategy"]) == (16, anychan.__version__, "sliced")
    assert said["values"].startswith("shares of the largest number that the stored type holds: 8 bits divided by 255")
    assert said["subsets"][0] == ["R", "G", "NIR"]
    assert len(said["subsets"]) == 7
    assert proto.opset_import[0].version == 18
    dims = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in proto.graph.input]
    assert dims == [["batch", "channels", "height", "width"], ["channels"]]
    assert [d.dim_param or d.dim_value for d in proto.graph.output[0].type.tensor_type.shape.dim] == ["batch", 4]
    assert not any(tensor.external_data for tensor in proto.graph.initializer)


SCRIPT = """
import json, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
said = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
pixels = np.load(sys.argv[2])
mean, std = (np.float32(said[key])[[2, 0]][:, None, None] for key in ("mean", "std"))
inputs = {"image": (pixels - mean) / std, "channels": np.int64([said["channels"].index(n) for n in ("NIR", "R")])}
np.save(sys.argv[3], session.run(["logits"], inputs)[0])
sys.exit(bool({"torch", "anychan", "timm", "onnx"} & set(sys.modules)))
"""


def test_a_file_runs_without_anychan_and_without_torch(tmp_path):
    model = small("completed", kept=True)
    made = export(model, tmp_path / "alone.onnx", info=INFO)
    pixels = np.random.default_rng(0).random((2, 2, 16, 16), dtype=np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    words = [sys.executable, "-c", SCRIPT, made.path, str(tmp_path / "pixels.npy"), str(tmp_path / "logits.npy")]
    subprocess.run(words, check=True, timeout=300)
    mean, std = (torch.tensor(row)[:, None, None] for row in ((0.3, 0.4), (0.1, 0.2)))
    close(torch.from_numpy(np.load(tmp_path / "logits.npy")), model((torch.from_numpy(pixels) - mean) / std, "NIR,R"))


def test_a_file_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    there = tmp_path / "a.pt2"
    there.write_text("what was there before")
    model, honest = small(), Small.forward
    monkeypatch.setattr(Small, "forward", lambda self, x: honest(self, x) + 0.5 * torch.compiler.is_exporting())
    with pytest.raises(CheckFailedError, match=r"within 0.000\d+: same class for .* logits differ by 0.5"):
        export(model, there, "R", "torch", info=INFO, replace=True)
    assert there.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [there]


def test_a_file_that_answers_what_it_should_not_is_found():
    asked = list(_check.questions(BANDS, BANDS.subsets(), [(16, 16)], one_set=False))
    model = small()
    answers = _check.answers_of(model)
    by_image = {id(question.image): answers(question) for question in asked}

    def answer(x: Tensor, channels: Tensor, *, lengths: bool) -> Tensor:
        refused = lengths and x.shape[1] == len(channels)
        return by_image.get(id(x), x.mean((2, 3)) * (float("nan") if refused else 1))

    for lengths, said in ((False, r"1 plane\(s\) called \[3\]"), (True, r"4 plane\(s\) called \[0, 1, 2\]")):
        with pytest.raises(CheckFailedError, match=f"answers for {said}, which are no subset it has"):
            _check.check(model, partial(answer, lengths=lengths), asked, BANDS.subsets())


def test_large_logits_may_differ_as_rounding_makes_them():
    asked = list(_check.questions(BANDS, [BANDS], [(16, 16)], one_set=True))
    model = small()
    with torch.no_grad():
        model.body.head.weight.mul_(1e5)

    def off_by(share: float) -> _check.Checked:
        return _check.check(model, lambda x: model(x).detach() * (1 + share), asked, [BANDS])

    found = off_by(1e-5)
    assert found.difference > 1e-2
    assert found.largest > 1e3
    with pytest.raises(CheckFailedError, match=r"does not answer as the model does, within .*\d: same class for 36"):
        off_by(1e-3)


@pytest.mark.parametrize(
    "told",
    [
        {"pretrained_cfg": {"input_size": (3, 16, 16)}},
        {"default_cfg": {"input_size": (3, 16, 16)}},
        {"default_cfg": {"input_size": 16}},
    ],
)
def test_a_network_may_say_its_size_itself(told, tmp_path):
    model = small()
    vars(model.body).update(told)
    assert export(model, tmp_path / "a.pt2", "R", "torch", any_size=False).image_size == 16
    assert export(model, tmp_path / "b.pt2", "R", "torch", image_size=12, any_size=False).image_size == 12


class OfPlaces(nn.Module):
    """Its positions are looked up, for one size of images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.position, self.head = nn.Conv2d(3, 8, 4, 4), nn.Embedding(16, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        return self.head((x + self.position(torch.arange(x.shape[1]))).mean(1))


class OfTwo(OfPlaces):
    def forward(self, x: Tensor, meta: Tensor) -> Tensor:
        return super().forward(x) + meta


def test_positions_that_are_looked_up_fix_the_size(tmp_path):
    model = adapt(OfPlaces(), "RGB", "sliced").eval()
    path = export(model, tmp_path / "a.pt2", "RG", "torch", image_size=16).path
    x = torch.randn(3, 2, 16, 16)
    close(torch.export.load(path).module()(x), model(x, "RG"))
    with pytest.raises(ValueError, match="does not answer an image of 32x32 alone: index out of range"):
        export(model, tmp_path / "b.pt2", "RG", "torch", image_size=32)
    with pytest.raises(ValueError, match=r"does not answer an image of 16x16 alone: .*argument: 'meta'"):
        export(adapt(OfTwo(), "RGB", "sliced").eval(), tmp_path / "b.pt2", "RG", "torch", image_size=16)
    assert not (tmp_path / "b.pt2").exists()


def test_refusals(tmp_path):
    model, path = small(), tmp_path / "a.onnx"
    for options, said in (
        ({"format": "tflite"}, "format is 'tflite'; choose from onnx, torch"),
        ({"quantize": "int4"}, "quantize is 'int4'"),
        ({"quantize": "int8", "format": "torch"}, "which is for the format 'onnx'"),
        ({"format": "torch"}, "a.onnx is called as of the format 'onnx', but format is 'torch'"),
        ({"data": "synthetic"}, "not asked for"),
        ({"channels": "X"}, "unknown channel 'X'"),
        ({"info": None}, "image_size is None: give"),
        ({"image_size": 0}, "image_size is 0: give"),
        ({"info": dataclasses.replace(INFO, channels=BANDS[::-1])}, "info has the channels NIR,G,R, the model R,G,NIR"),
        ({"info": dataclasses.replace(INFO, num_classes=2, classes=("a", "b"))}, "info names 2 classes, .* 4 logits"),
        ({"info": None, "image_size": 16, "quantize": "int8", "data": "synthetic"}, "not the model's info"),
    ):
        with pytest.raises(ValueError, match=said):
            export(model, path, **{"info": INFO, **options})
    with pytest.raises(ValueError, match="float64"):
        export(small().double(), path, info=INFO)
    features = adapt(nn.Sequential(nn.Conv2d(3, 4, 3)), BANDS, "sliced", trained_on=BANDS)
    with pytest.raises(ValueError, match="does not return logits"):
        export(features, path, info=INFO)
    for replace in (False, True):
        with pytest.raises(ValueError, match="is a folder: name a file, such as"):
            export(model, tmp_path, info=INFO, replace=replace)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="say --replace"):
        export(model, path, info=INFO)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_folder_or_model_file_is_taken(tmp_path):
    model = create_model("wide4", BANDS, 4, "sliced", model_options={"width": 3}).eval()
    info = INFO.from_dict(
        {**INFO.to_dict(), "architecture": "wide4", "strategy": "sliced", "model_options": {"width": 3}}
    )
    save_model(tmp_path / "run", model, info)
    made = export(tmp_path / "run" / "model.safetensors", tmp_path / "new" / "a.pt2", "G", "torch")
    assert torch.export.load(made.path).module()(images(1, 1)).shape == (1, 4)
    with pytest.raises(FileNotFoundError, match="holds no model"):
        export(tmp_path, tmp_path / "b.pt2", "G", "torch")
