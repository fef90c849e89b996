"""Images of any bands: matched by name or wavelength, in the units of the model, and never by position."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tifffile

from anychan.channels import MEASURED, Channel, ChannelSet
from anychan.evaluation import evaluate_run, read_predictions
from anychan.prediction import Predictor, find_images, predict
from anychan.sensors import sensor

from .._image_files import npy, npz, tiff
from ._runs import CLASSES, SIZE, make_run, photograph

BANDS = ("B02", "B03", "B04", "B08")


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """A data set of 16-bit tiles with four bands of Sentinel-2, a class a folder."""
    root = tmp_path / "tiles"
    for number, name in enumerate(CLASSES):
        pixels = np.random.default_rng(number).integers(0, 65536, (4, SIZE, SIZE), dtype=np.uint16)
        (root / "test" / name).mkdir(parents=True)
        tifffile.imwrite(root / "test" / name / "tile.tif", pixels, photometric="minisblack")
    (root / "bands.yaml").write_text("bands: [B02, B03, B04, B08]\n")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Path:
    channels = sensor("sentinel-2-l2a").subset(BANDS)
    return make_run(tmp_path / "run", channels=channels)


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    return make_run(tmp_path / "measured", channels=_measured(*BANDS))


def _measured(*names: str) -> ChannelSet:
    """Bands whose values are no share of a full scale, as floating-point numbers in a file are not."""
    bands = sensor("sentinel-2-l2a").subset(names)
    return ChannelSet(dataclasses.replace(band, units=MEASURED) for band in bands)


def test_answers_are_those_that_evaluate_stores(run: Path, tiles: Path, tmp_path: Path) -> None:
    evaluate_run(run, "B02,B08", data=tiles, cost=False, pictures=False, device="cpu", cache_dir=tmp_path / "cache")
    stored = read_predictions(run / "predictions" / "test.parquet")["B02,B08", ""]
    predictor = Predictor.load(run, device="cpu", bands="B02,B03,B04,B08")
    answers = list(predictor.predict(find_images([tiles / "test"]), "B08,B02"))
    assert [answer.error for answer in answers] == [None] * len(CLASSES)
    for answer, labels, probabilities in zip(answers, stored.top, stored.probability, strict=True):
        assert answer.labels == tuple(labels)
        assert answer.probabilities == pytest.approx(tuple(probabilities), abs=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_tiles_larger_than_the_models_images_are_resized_as_evaluate_does(
    run: Path, tmp_path: Path, dtype: str
) -> None:
    limits = np.iinfo(dtype)
    for number, name in enumerate(CLASSES):  # of extremes, which bicubic resizing overshoots
        pixels = np.random.default_rng(number).choice([limits.min, limits.max], (4, 23, 29)).astype(dtype)
        (tmp_path / "tiles" / "test" / name).mkdir(parents=True)
        np.save(tmp_path / "tiles" / "test" / name / "tile.npy", pixels)
    (tmp_path / "tiles" / "bands.yaml").write_text("bands: [B02, B03, B04, B08]\naxes: CHW\n")
    _check_same_as_evaluate(run, tmp_path / "tiles", tmp_path / "cache")


def test_a_channel_that_a_file_lacks_is_not_there_where_files_are_partial(run: Path, tmp_path: Path) -> None:
    tiles, all_bands = tmp_path / "tiles", ("B02", "B03", "B08")
    for number, name in enumerate(CLASSES):
        there = all_bands[number % 2 :]  # every second has no B02
        pixels = np.random.default_rng(number).integers(0, 65536, (len(there), 23, 29), dtype=np.uint16)
        (tiles / "test" / name).mkdir(parents=True)
        (tiles / "test" / name / "tile.npz").write_bytes(npz(**dict(zip(there, pixels, strict=True))))
    (tiles / "bands.yaml").write_text("channels: B02,B03,B04,B08\npartial: true\nbands: [B02, B03, B04, B08]\n")
    _check_same_as_evaluate(run, tiles, tmp_path / "cache", "B02,B04,B08")
    answers = predict(Predictor.load(run, device="cpu", bands=tiles / "bands.yaml"), tiles, "B02")
    assert {answer.error for answer in answers[::2]} == {None}
    assert {answer.error for answer in answers[1::2]} == {"has no value in any of B02"}
    answers = predict(Predictor.load(run, device="cpu"), tiles, "B02,B08")
    assert {answer.channels for answer in answers[::2]} == {"B02,B08"}
    assert {answer.channels for answer in answers[1::2]} == {"B08"}


def _check_same_as_evaluate(run: Path, tiles: Path, cache: Path, asked: str = "B02,B08") -> None:
    evaluate_run(run, asked, data=tiles, cost=False, pictures=False, device="cpu", cache_dir=cache)
    stored = read_predictions(run / "predictions" / "test.parquet")[asked, ""]
    answers = predict(Predictor.load(run, device="cpu"), tiles, asked)
    assert [answer.error for answer in answers] == [None] * len(stored.top)
    for answer, labels, probabilities in zip(answers, stored.top, stored.probability, strict=True):
        assert answer.labels == tuple(labels)
        assert answer.probabilities == pytest.approx(tuple(probabilities), abs=1e-6)


def test_the_bands_beside_or_above_a_file_are_read(run: Path, tiles: Path) -> None:
    told = list(Predictor.load(run, device="cpu", bands="B02,B03,B04,B08").predict(find_images([tiles])))
    assert [answer.error for answer in told] == [None] * len(CLASSES)
    assert predict(Predictor.load(run, device="cpu"), tiles) == told
    deeper = predict(Predictor.load(run, device="cpu"), tiles / "test")  # above what was named nothing is looked for
    assert all("no name for any of them" in (answer.error or "") for answer in deeper)
    file = tiles / "test" / CLASSES[0] / "tile.tif"
    file.with_name("bands.yaml").write_text("bands: [B08, B04, B03, B02]\n")  # the nearest is meant
    (other,) = predict(Predictor.load(run, device="cpu"), file)
    assert other.error is None
    assert other != next(answer for answer in told if answer.image == str(file))
    file.with_name("bands.yaml").write_text("band: B08\n")
    (other,) = predict(Predictor.load(run, device="cpu"), file)
    assert "unknown key 'band'" in (other.error or "")
    file.with_name("bands.yaml").rename(file.with_name("bands.yml"))
    (other,) = predict(Predictor.load(run, device="cpu"), file)
    assert "has a bands.yml, which is not read: call it bands.yaml" in (other.error or "")


def test_a_bands_yaml_that_is_named_says_what_it_says_beside_the_images(tmp_path: Path) -> None:
    run, bands = make_run(tmp_path / "run"), 'files: "{id}"\n'
    for name in ("named", "beside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gray.png").write_bytes(photograph(5, "L"))
    (tmp_path / "beside" / "bands.yaml").write_text(bands)
    (tmp_path / "only.yaml").write_text(bands)
    (beside,) = predict(run, tmp_path / "beside")
    (named,) = predict(Predictor.load(run, bands=tmp_path / "only.yaml"), tmp_path / "named")
    assert beside.error is None
    assert (named.error, named.probabilities) == (None, beside.probabilities)


def test_bands_are_found_by_their_wavelength(measured: Path) -> None:
    predictor = Predictor.load(measured, device="cpu")
    pixels = np.random.default_rng(0).random((2, 16, 16), dtype=np.float32)
    named = predictor.predict([npz(B08=pixels[0], B02=pixels[1])], "B02,B08")
    near = ChannelSet([Channel("nir", sensor("sentinel-2-l2a").subset(["B08"])[0].wavelength), "B02"])
    said = dataclasses.replace(Predictor.load(measured, device="cpu", bands="B08,B02").bands, bands=near)
    other = Predictor(predictor.model, predictor.info, device="cpu", bands=said).predict([npy(pixels)], "B02,B08")
    first = next(named)
    assert first.error is None
    assert first.probabilities == pytest.approx(next(other).probabilities, abs=1e-6)


def test_a_file_elsewhere_is_read_by_the_numbers_that_are_kept_with_the_model(tmp_path: Path) -> None:
    numbers = {name: {"scale": 0.0001, "offset": -0.1, "nodata": 0.0} for name in ("B02", "B08")}
    run = make_run(tmp_path / "run", channels=_measured("B02", "B08"), numbers=numbers)
    pixels = np.random.default_rng(0).integers(0, 3, (2, 23, 29)).astype(np.uint16) * 4000  # a third has no value
    (tmp_path / "tiles").mkdir()
    np.save(tmp_path / "tiles" / "tile.npy", pixels)
    (elsewhere,) = Predictor.load(run, device="cpu", bands="B02,B08").predict([npy(pixels)])
    (named,) = Predictor.load(run, device="cpu").predict([npz(B02=pixels[0], B08=pixels[1])])
    shares = (pixels * 1e-4 - 0.1).astype(np.float32)  # multiplied already
    shares[pixels == 0] = np.nan
    (fractions,) = Predictor.load(run, device="cpu", bands="B02,B08").predict([npy(shares)])
    assert fractions.probabilities == pytest.approx(elsewhere.probabilities, abs=1e-5)
    said = "bands: [B02, B08]\nscale: 0.0001\noffset: -0.1\n"
    (tmp_path / "tiles" / "bands.yaml").write_text(f"{said}nodata: 0\n")
    (at_home,) = predict(run, tmp_path / "tiles")
    assert at_home.error is None
    assert elsewhere.probabilities == named.probabilities == at_home.probabilities
    (tmp_path / "tiles" / "bands.yaml").write_text(said)  # which has the last word
    (other,) = predict(run, tmp_path / "tiles")
    assert other.probabilities != at_home.probabilities


def test_what_does_not_fit_is_said(run: Path) -> None:
    predictor = Predictor.load(run, device="cpu")
    lacking, empty = npz(B02=np.ones((16, 16), np.float32)), npz(B02=np.full((16, 16), np.nan, np.float32))
    (answer,) = predictor.predict([lacking], "B02,B08")
    way_on = ": ask for those that are there (--channels), or say partial: true in a bands.yaml"
    assert answer.error == f"has no channel B08; there are B02{way_on}"
    (answer,) = predictor.predict([lacking], "B08")
    assert answer.error == "has no channel B08; there are B02"
    (answer,) = predictor.predict([empty], "B02")
    assert answer.error == "has no value in any of B02"
    (answer,) = predictor.predict([npz(B02=np.full((16, 16), 280.5, np.float32))], "B02")
    assert answer.error == "has values of B02 in other units than the model was trained on"


def test_a_channel_without_a_value_is_not_there(measured: Path) -> None:
    predictor = Predictor.load(measured, device="cpu")
    seen = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    half = npz(B02=seen, B08=np.full((16, 16), np.nan, np.float32))
    both, one = next(predictor.predict([half], "B02,B08")), next(predictor.predict([half], "B02"))
    assert both.error is None
    assert both.probabilities == pytest.approx(one.probabilities, abs=1e-6)


def test_a_plain_model_is_asked_for_all_its_channels_alone(tmp_path: Path) -> None:
    plain = Predictor.load(make_run(tmp_path, channels=_measured("B02", "B08"), strategy="plain"), device="cpu")
    (answer,) = plain.predict([npz(B02=np.ones((16, 16), np.float32))])
    assert answer.error == "has no channel B08; there are B02"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategy": "plain"}, "has no value in B08: a plain model takes all of B02,B08, not B02"),
        ({"kept_subsets": ("B02,B08", "B08")}, "has no value in B08: "),
    ],
)
def test_a_channel_without_a_value_stops_no_other_image(tmp_path: Path, changes: dict, said: str) -> None:
    channels = _measured("B02", "B08")
    predictor = Predictor.load(make_run(tmp_path, channels=channels, **changes), device="cpu")
    seen = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    images = [npz(B02=seen, B08=np.full((16, 16), np.nan, np.float32)), npz(B02=seen, B08=seen)]
    half, whole = predictor.predict(images, "B02,B08")
    assert half.error is not None
    assert half.error.startswith(said)
    assert whole.error is None


def test_two_bands_of_one_name_stop_no_other_image(measured: Path) -> None:
    pixels = np.zeros((2, 16, 16), np.uint16)
    file = tiff(pixels, imagej=True, metadata={"axes": "CYX", "Labels": ["B02", "B02"]})
    seen = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    twice, good = Predictor.load(measured, device="cpu").predict([file, npz(B02=seen)], "B02")
    assert "'B02'" in (twice.error or "")
    assert good.error is None


def test_gray_of_16_bits_is_no_photograph_for_a_model_of_bands(tmp_path: Path) -> None:
    file = tiff(np.zeros((20, 20), np.uint16), photometric="minisblack")
    gray = Predictor.load(make_run(tmp_path / "gray", channels=["gray"]), device="cpu")
    assert gray.read(file).channels.names == ("gray",)
    colour = Predictor.load(make_run(tmp_path / "colour"), device="cpu")
    assert colour.read(file).channels.names == ("R", "G", "B")


def test_a_fourth_plane_that_is_not_said_to_be_alpha_is_a_band(tmp_path: Path) -> None:
    predictor = Predictor.load(make_run(tmp_path), device="cpu")
    pixels = np.full((20, 20, 4), 65535, np.uint16)
    (answer,) = predictor.predict([tiff(pixels, photometric="rgb", extrasamples=["unspecified"])])
    assert "no name for plane 4" in (answer.error or "")
    (answer,) = predictor.predict([tiff(pixels, photometric="rgb", extrasamples=["unassalpha"])])
    assert answer.error is None


def test_a_file_a_channel_is_one_image(run: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        pixels = np.random.default_rng(number).integers(0, 65536, (20, 20), dtype=np.uint16)
        tifffile.imwrite(tmp_path / f"cell_ch{number}.tif", pixels, photometric="minisblack")
    found = find_images([tmp_path])
    assert [path.name for path in found] == ["cell_ch*.tif"]
    (answer,) = Predictor.load(run, device="cpu", bands="B02,B08").predict(found, "B02,B08")
    assert answer.error is None


def test_a_file_a_channel_is_one_image_as_bands_yaml_says(run: Path, tmp_path: Path) -> None:
    for name in ("old/cell_ch*.tif", "plate/well/cell_w*.tif"):
        (tmp_path / name).parent.mkdir(parents=True)
        for number in (1, 2):
            pixels = np.random.default_rng(number).integers(0, 65536, (20, 20), dtype=np.uint16)
            tifffile.imwrite(tmp_path / name.replace("*", str(number)), pixels, photometric="minisblack")
    (tmp_path / "plate" / "bands.yaml").write_text('bands: [B02, B08]\nfiles: "{id}_w{channel}.tif"')
    (old,) = Predictor.load(run, device="cpu", bands="B02,B08").predict(find_images([tmp_path / "old"]), "B02,B08")
    (new,) = predict(run, tmp_path / "plate", "B02,B08")
    assert (new.image, new.error) == (str(tmp_path / "plate" / "well" / "cell_w*.tif"), None)
    assert new.probabilities == old.probabilities
    assert predict(run, tmp_path / "pla*", "B02,B08") == [new]
