"""int8 weights: a smaller file that rounds as it says, and what that costs."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from anychan.adaptation import adapt
from anychan.channels import ChannelSet
from anychan.data import ImageArray, load_split, open_dataset, split_statistics
from anychan.data.dataset import Encoding
from anychan.exporting import CheckFailedError, export, writing
from anychan.exporting._accuracy import accuracy_cost
from anychan.exporting._quantize import quantize_int8
from anychan.exporting.record import Exported

from ._small import INFO, Small, small

DATA = "synthetic:bands=3,classes=4,train=8,val=4,test=40,size=16"


def weights(path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_weights_are_rounded_to_a_step_of_their_output(tmp_path):
    plain, quantised = tmp_path / "a.onnx", tmp_path / "b.onnx"
    export(small(), plain, "R,G", info=INFO)
    made = export(small(), quantised, "R,G", info=INFO, quantize="int8")
    before, after = weights(plain), weights(quantised)
    rounded = [name.removesuffix("_int8") for name in after if name.endswith("_int8")]
    assert made.int8 is not None
    assert made.int8["weights"] == len(rounded) == 1
    for name in rounded:
        step = after[f"{name}_scale"][:, None, None, None]
        assert after[f"{name}_int8"].dtype == np.int8
        assert np.abs(after[f"{name}_int8"]).max(axis=(1, 2, 3)).tolist() == [127] * len(step)
        assert (np.abs(after[f"{name}_int8"] * step - before[name]) <= 0.5001 * step).all()
        assert name not in after
    assert after.keys() - {f"{n}{end}" for n in rounded for end in ("_int8", "_scale")} == before.keys() - {*rounded}
    said = {entry.key: json.loads(entry.value) for entry in onnx.load(quantised).metadata_props}
    assert said["resize"] == "shorter side to image_size, antialiased bicubic, middle square"
    assert made.int8["bytes_before"] == plain.stat().st_size
    assert made.bytes == quantised.stat().st_size
    assert 0 < made.int8["check"]["difference"] < 0.5
    assert made.int8["accuracy"] is None
    assert "not measured: name --data" in made.table()


@pytest.mark.parametrize(
    ("kind", "shape", "axis"), [("Gemm", (16, 32), 0), ("Gemm", (32, 16), 1), ("MatMul", (32, 16), 1)]
)
def test_the_outputs_of_products_have_scales(kind, shape, axis, tmp_path):
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    options = {"transB": 1} if (kind, axis) == ("Gemm", 0) else {}
    node = onnx.helper.make_node(kind, ["x", "w"], ["y"], **options)
    values = [
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", k]) for name, k in (("x", 32), ("y", 16))
    ]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], [numpy_helper.from_array(weight, "w")])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), tmp_path / "a"
    )
    assert quantize_int8(tmp_path / "a") == 1
    onnx.checker.check_model(tmp_path / "a", full_check=True)
    assert weights(tmp_path / "a")["w_scale"].shape == (16,)
    with pytest.raises(ValueError, match="leave out int8"):
        quantize_int8(tmp_path / "a")


def test_what_it_costs_is_measured_on_each_subset(tmp_path):
    array = load_split(open_dataset(DATA), "test", 16)
    torch.manual_seed(0)
    channels = split_statistics(array).described
    model = adapt(Small(3), channels, "sliced").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        x = (array.images / 255 - 0.5) / 0.25
        model.body.head.bias -= model(x).mean(dim=0)  # so that no class is every image's
    info = dataclasses.replace(INFO, channels=channels, classes=array.classes)
    made = export(model, tmp_path / "a.onnx", info=info, quantize="int8", data=DATA)
    assert made.int8 is not None
    rows = {row["subset"]: row for row in made.int8["accuracy"]}
    assert list(rows) == ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    for subset in rows:
        planes = list(channels.indices(subset))
        x = torch.stack([(array.images[:, p] / 255 - channels[p].mean) / channels[p].std for p in planes], dim=1)
        answers = model(x, subset).argmax(dim=1)
        assert subset != "RGB" or len(answers.unique()) > 1, "one class for all images: nothing would be noticed"
        right = (answers == array.labels).float().mean()
        assert rows[subset]["accuracy_b"] == pytest.approx(float(right))
        assert rows[subset]["n"] == 40
    assert "RGB      " in made.table()
    with pytest.raises(ValueError, match=r"has the classes .*, but the model knows cat, dog, fox, \.\.\. \(4\)"):
        export(
            model, tmp_path / "b.onnx", info=dataclasses.replace(info, classes=INFO.classes), quantize="int8", data=DATA
        )


def test_images_of_16_bits_are_measured_in_the_units_of_the_channels():
    stored = torch.arange(2 * 3 * 16, dtype=torch.int32).mul(600).reshape(2, 3, 4, 4).to(torch.uint16)
    there = ChannelSet(INFO.channels[i] for i in (2, 0, 1))
    scale = Encoding("uint16", (1 / 65535,), (0.0,))
    array = ImageArray(stored, torch.zeros(2, dtype=torch.int64), ("a", "b"), there, INFO.classes, (), "", scale)
    seen = []

    def run(*inputs):
        seen.append(inputs[0])
        return torch.eye(4)[:2]

    accuracy_cost(run, run, array, INFO, [INFO.channels.subset(["R", "NIR"])], one_set=False)
    values = stored.double()[:, [1, 0]] / 65535
    expected = (values - torch.tensor([0.4, 0.3])[:, None, None]) / torch.tensor([0.2, 0.1])[:, None, None]
    torch.testing.assert_close(seen[0], expected.float())


def test_images_that_lack_a_channel_of_a_subset_are_left_out_of_it():
    values = torch.rand(3, 2, 4, 4)
    present = torch.tensor([[True, True], [True, False], [True, True]])
    values[1, 1] = torch.nan
    there, encoding = INFO.channels.subset(["R", "G"]), Encoding("float32", (1.0,), (0.0,))
    labels, paths = torch.tensor([0, 1, 2]), ("a", "b", "c")
    array = ImageArray(values, labels, paths, there, INFO.classes, (), "", encoding, present)
    seen = []

    def run(*inputs):
        seen.append(len(inputs[0]))
        return torch.eye(4)[[0, 2, 1][: len(inputs[0])]]

    both, red = accuracy_cost(run, run, array, INFO, [there, there.subset("R")], one_set=False)
    assert seen == [2, 2, 3, 3]
    assert (both["n"], both["left_out"], both["accuracy_a"]) == (2, 1, 1.0)
    assert (red["n"], red["left_out"]) == (3, 0)
    array = dataclasses.replace(array, present=present & torch.tensor([True, False]))
    (none,) = accuracy_cost(run, run, array, INFO, [there], one_set=False)
    assert none == {"subset": "RG", "n": 0, "left_out": 3}
    table = record_of([both, red, none | {"subset": "Blue,Green,NIR"}]).table()
    assert "\nBlue,Green,NIR  not measured: all" in table
    assert "\nformat          ONNX" in table
    assert "n = 2; 1 lack a channel)" in table
    assert "n = 3)" in table
    assert "not measured: all images lack a channel" in table


def record_of(accuracy: list[dict[str, Any]]) -> Exported:
    check = {"calls": 1, "images": 1, "difference": 0.0, "largest": 1.0, "same_class": 1}
    int8 = {"bytes_before": 1, "weights": 1, "check": check, "accuracy": accuracy}
    return Exported("a.onnx", "onnx", 18, ("R", "G"), None, 16, ("batch",), 1, check, int8)


@pytest.mark.parametrize("when", ["opened", "asked"])
def test_a_file_that_does_not_run_has_failed_its_check(when, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(writing, "open_file", broken if when == "opened" else lambda *_: broken)
    with pytest.raises(CheckFailedError, match="no such kernel"):
        export(small(), tmp_path / "a.onnx", "R,G", info=INFO)
    assert not list(tmp_path.iterdir())
