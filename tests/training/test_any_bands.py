"""Images of any bands from files to a trained model: no level is lost, nothing that is missing is read as a value."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from torch import Tensor

from anychan.adaptation import AnyChannelModel
from anychan.channels import Channel, ChannelSet
from anychan.cli import main
from anychan.data import ImageArray, load_split, open_dataset, split_statistics
from anychan.data.augment_config import AugmentationConfig
from anychan.data.dataset import Encoding
from anychan.evaluation import predict_subset, read_predictions
from anychan.evaluation.predict import prepare
from anychan.experiments.records import validate_records
from anychan.models import create_model
from anychan.report import markdown_tables
from anychan.statistics import ChannelStatistics
from anychan.training.batches import Inputs, TrainingBatches
from anychan.training.config import ObjectiveConfig, TrainConfig
from anychan.training.machine import Machine

CPU = torch.device("cpu")
MACHINE = Machine("cpu", "float32", True, processes=1)
VALUES = Encoding("float32", (1.0,), (0.0,))
BANDS = ChannelSet([Channel("R", 0.66, 0.3, 0.1), Channel("G", 0.56, 0.2, 0.1), Channel("NIR", 0.84, 0.5, 0.2)])


def mixed(count: int = 12, size: int = 16) -> ImageArray:
    """Images of R, G and NIR: of twelve, four without NIR, two others without R, all with pixels without a value."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, size, size, 3, generator=generator).permute(0, 3, 1, 2)
    images[::3, 2] = torch.nan
    images[2::6, 0] = torch.nan
    images[:, 1, :2] = torch.nan
    return ImageArray(
        images, torch.arange(count) % 4, tuple(f"{i}.tif" for i in range(count)), BANDS, tuple("abcd"), (), "f", VALUES,
        ~images.isnan().all(dim=3).all(dim=2),
    )  # fmt: skip


def model_of(strategy: str, **options: Any) -> AnyChannelModel:
    torch.manual_seed(0)
    statistics = None
    if strategy == "completed":
        statistics = ChannelStatistics(BANDS, torch.zeros(3).double(), 0.7 * torch.eye(3).double() + 0.3, 9)
    return create_model("wide4", BANDS, 4, strategy, statistics, model_options={"width": 4}, **options).eval()


@pytest.mark.parametrize(("dtype", "first"), [("uint16", 0), ("int16", -32768)])
def test_a_ramps_levels_survive_from_file_to_network(tmp_path: Path, dtype: str, first: int) -> None:
    ramp = (np.arange(65536) + first).astype(dtype).reshape(1, 256, 256)
    for split in ("train", "test"):
        (tmp_path / "data" / split / "a").mkdir(parents=True)
        tifffile.imwrite(tmp_path / "data" / split / "a" / "0.tif", ramp[0])
    dataset = open_dataset(tmp_path / "data")
    array = load_split(dataset, "train", 256, tmp_path / "cache")
    channels = split_statistics(array).described
    shifted = AugmentationConfig(flip=1.0)
    trained = Inputs(array, channels, CPU, MACHINE, shifted).batch(torch.tensor([0]), channels, torch.Generator())
    predicted = prepare(array.values(array.images), channels, channels)
    for network_input in (trained.images, predicted):
        assert len(network_input.unique()) > 0.99 * 65536
    torch.testing.assert_close(trained.images.flip(3), predicted, rtol=1e-5, atol=1e-5)


def test_what_a_crop_leaves_empty_is_the_mean() -> None:
    kelvin = ChannelSet([Channel("T", 11.0, 285.0, 5.0, "measured")])
    array = dataclasses.replace(mixed(), images=torch.full((12, 1, 16, 16), 290.0), channels=kelvin, present=None)
    cropped = AugmentationConfig(crop_padding=4)
    seen = Inputs(array, kelvin, CPU, MACHINE, cropped).batch(
        torch.arange(12), kelvin, torch.Generator().manual_seed(0)
    )
    assert seen.images.unique().tolist() == [0, 1]


def test_what_has_no_value_is_the_mean_and_an_absent_channel_is_said_to_be() -> None:
    array = mixed()
    batch = Inputs(array, BANDS, CPU, MACHINE).batch(torch.arange(6), BANDS.subset("NIR,G"))
    assert batch.present is not None
    assert batch.present.tolist() == [[i % 3 != 0, True] for i in range(6)]
    assert (batch.images[:, 1, :2] == 0).all()
    assert (batch.images[0, 0] == 0).all()
    torch.testing.assert_close(batch.images[1, 0], (array.images[1, 2] - 0.5) / 0.2)
    assert Inputs(array, BANDS.subset("G"), CPU, MACHINE).batch(torch.arange(6), BANDS.subset("G")).present is None
    with pytest.raises(ValueError, match=r"0\.tif has none of the channels NIR"):
        Inputs(array, BANDS.subset("NIR"), CPU, MACHINE)


def test_other_units_are_refused() -> None:
    measured = ChannelSet(Channel(c.name, c.wavelength, c.mean, c.std, "measured") for c in BANDS)
    with pytest.raises(
        ValueError, match="'R' was trained on as values that were measured, but these images have it as s"
    ):
        Inputs(mixed(), measured, CPU, MACHINE)


def one_by_one(model: AnyChannelModel, array: ImageArray) -> Tensor:
    """Each image alone, through the channels that it has."""
    assert array.present is not None
    logits = []
    for i, there in enumerate(array.present.tolist()):
        chosen = BANDS.subset([band.name for band, is_there in zip(BANDS, there, strict=True) if is_there])
        planes = list(BANDS.indices(chosen.names))
        with torch.inference_mode():
            logits.append(model(prepare(array.images[i : i + 1, planes], BANDS, chosen), channels=chosen))
    return torch.cat(logits)


@pytest.mark.parametrize("strategy", ["sliced", "completed", "spectral", "mixed"])
def test_padded_and_bucketed_batches_give_the_logits_of_one_by_one(strategy: str) -> None:
    array, model = mixed(), model_of(strategy)
    expected = one_by_one(model, array)
    inputs = Inputs(array, BANDS, CPU, MACHINE)
    padded = inputs.batch(torch.arange(12), BANDS)
    with torch.inference_mode():
        together = model(padded.images, channels=padded.channels, present=padded.present)
    torch.testing.assert_close(together, expected, rtol=1e-4, atol=1e-5)
    answers = predict_subset(model, array, batch_size=5)
    probability = expected.softmax(1).topk(4).values
    np.testing.assert_allclose(answers.probability, probability, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(answers.top[:, 0], expected.argmax(1))

    config = TrainConfig(data="", out=Path(), strategy="sliced", channel_sampling="all", batch_size=3,
                         augmentation=AugmentationConfig(), objective=ObjectiveConfig("labels"))  # fmt: skip
    batches = TrainingBatches(inputs, config, CPU)
    labels_seen = 0
    for step in range(batches.steps):
        batch, rows = batches.batch(0, step), batches._rows(0, step)
        assert batch.present is None
        with torch.inference_mode():
            bucketed = model(batch.images, channels=batch.channels)
        torch.testing.assert_close(bucketed, expected[rows], rtol=1e-4, atol=1e-5)
        labels_seen += len(rows)
    assert labels_seen == 11  # of 6, 4 and 2 images, in steps of 3, 3 and 2


def test_images_with_none_of_the_channels_are_left_out_of_a_subset() -> None:
    array, model = mixed(), model_of("sliced")
    assert array.present is not None
    there = array.present[:, 2]
    alone = dataclasses.replace(
        array, images=array.images[there], labels=array.labels[there], present=array.present[there],
        paths=tuple(path for path, is_there in zip(array.paths, there.tolist(), strict=True) if is_there),
    )  # fmt: skip
    found, expected = (predict_subset(model, given, "NIR", batch_size=3) for given in (array, alone))
    assert found.paths == expected.paths == tuple(f"{i}.tif" for i in range(12) if i % 3)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probability, expected.probability)
    nowhere = dataclasses.replace(array, present=array.present & torch.tensor([True, True, False]))
    with pytest.raises(ValueError, match="none of the 12 images has any of the channels NIR"):
        predict_subset(model, nowhere, "NIR")


def test_a_channel_set_of_one_image_makes_no_step() -> None:
    array = mixed()
    assert array.present is not None
    array.present[4] = torch.tensor([False, False, True])
    config = TrainConfig(data="", out=Path(), strategy="sliced")
    with pytest.raises(ValueError, match=r"1 training image\(s\) have the channels NIR and no others, such as 4\.tif"):
        TrainingBatches(Inputs(array, BANDS, CPU, MACHINE), config, CPU)
    fixed = TrainConfig(data="", out=Path(), strategy="sliced", fixed_subset="NIR")
    with pytest.raises(ValueError, match=r"0\.tif lacks channels of the fixed subset NIR"):
        TrainingBatches(Inputs(mixed(), BANDS, CPU, MACHINE), fixed, CPU)


def test_bands_are_found_by_wavelength_when_another_sensor_is_asked_about() -> None:
    array, model = mixed(), model_of("sliced")
    renamed = ChannelSet(Channel(f"other_{c.name}", c.wavelength * 1.01) for c in BANDS)
    assert array.present is not None
    moved = dataclasses.replace(
        array, images=array.images[:, [2, 0, 1]], channels=renamed.subset("other_NIR,other_R,other_G"),
        present=array.present[:, [2, 0, 1]],
    )  # fmt: skip
    expected, found = predict_subset(model, array, "R,G"), predict_subset(model, moved, "R,G")
    np.testing.assert_allclose(found.probability, expected.probability, rtol=1e-5)


def test_of_many_bands_some_subsets_are_asked_for_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the error of 8 bands names is what then works."""
    data, cache = "synthetic:bands=8,train=24,val=8,test=8,size=16,classes=3", str(tmp_path / "cache")
    command = ["train", "--data", data, "--out", str(tmp_path / "run"), "--model", "wide4", "--image-size", "16",
               "--model-options", '{"width": 4}', "--strategy", "sliced", "--epochs", "1", "--batch-size", "8",
               "--cache-dir", cache, "--unseen-subsets", "B01,B02 B03"]  # fmt: skip
    assert main(command) == 2
    assert capsys.readouterr().err.strip().endswith("or say --normalisation.subsets some")
    assert main([*command, "--normalisation.subsets", "some"]) == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["normalisation"]["subsets"], config["unseen_subsets"]) == (["some"], ["B01,B02", "B03"])
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--no-cost", "--no-pictures", "--cache-dir", cache]) == 0
    kept = json.loads((tmp_path / "run" / "model.json").read_text())["kept_subsets"]
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines()[4:]]
    assert sorted(told) == sorted(kept)


def test_training_and_evaluation_on_a_folder_of_tiffs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four bands in 16 bits with nodata; some images have no infrared."""
    random = np.random.default_rng(0)
    for i in range(30):
        split = "train" if i < 18 else "val" if i < 24 else "test"
        names = ["R", "G", "B", "NIR"] if i % 3 else ["R", "G", "B"]
        pixels = random.integers(1, 4000 if i % 2 else 9000, (len(names), 20, 24)).astype(np.uint16)
        pixels[0, :3] = 0
        folder = tmp_path / "tiles" / split / ("dark" if i % 2 else "bright")
        folder.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"imagej": True, "metadata": {"axes": "CYX", "Labels": names}}
        tifffile.imwrite(folder / f"{i}.tif", pixels, **options)
    said = "bands: naip\nnodata: 0\nscale: 0.0001\npartial: true\n"
    (tmp_path / "tiles" / "bands.yaml").write_text(said)
    data, run, cache = str(tmp_path / "tiles"), tmp_path / "run", str(tmp_path / "cache")
    assert main(["data", "check", data]) == 0
    settings = ["--model", "wide4", "--model-options", '{"width": 4}', "--strategy", "spectral", "--image-size", "16",
                "--epochs", "2", "--batch-size", "4", "--device", "cpu", "--cache-dir", cache]  # fmt: skip
    assert main(["train", "--data", data, "--out", str(run), *settings]) == 0
    record = json.loads((run / "model.json").read_text())
    assert [channel["units"] for channel in record["channels"]] == ["measured"] * 4
    assert record["numbers"] == {name: {"scale": 0.0001, "nodata": 0.0} for name in ("R", "G", "B", "NIR")}
    assert 0.3 < record["channels"][0]["mean"] < 0.4  # of (4000 + 9000) / 4 with the zeros left out
    assert main(["evaluate", str(run), "--channels", "R,G,B", "R,NIR", "--no-cost", "--cache-dir", cache]) == 0
    (evaluated,) = (run / "evaluation").glob("*.json")
    assert len(json.loads(evaluated.read_text())["results"]) == 2
    capsys.readouterr()
    assert main(["evaluate", str(run), "--no-cost", "--flips", "--cache-dir", cache]) == 0  # all subsets
    told = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[-1] for row in told if row and row[0] in ("R,G,B,NIR", "NIR")] == ["0", "2"]
    results = {row["subset"]: row for row in json.loads(evaluated.read_text())["results"]}
    assert {subset: (row["n"], row["left_out"]) for subset, row in results.items() if row["n"] < 6} == {"NIR": (4, 2)}
    answers = read_predictions(run / "predictions" / f"{evaluated.stem}.parquet")
    only = answers["NIR", ""]
    assert [Path(path).stem for path in sorted(only.paths)] == ["26", "28", "25", "29"]
    full = answers["RGB,NIR" if ("RGB,NIR", "") in answers else "R,G,B,NIR", ""]
    on_all = np.mean([right for path, right in zip(full.paths, full.correct, strict=True) if path in only.paths])
    assert results["NIR"]["retention"] == (pytest.approx(only.correct.mean() / on_all) if on_all else None)
    assert validate_records([run])[1] == []
    assert "none of a subset's channels are left out: 2 of NIR" in markdown_tables([run])
    wrong = ["evaluate", str(run), "--channels", "RGB", "--data", data, "--bands", "rgb", "--cache-dir", cache]
    assert main([*wrong, "--replace"]) == 2
    assert "'R' was trained on as values that were measured" in capsys.readouterr().err
