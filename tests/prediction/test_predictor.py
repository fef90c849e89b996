"""Answers to image files: those of evaluate, whatever the file is like; broken ones among them; what is refused."""

from __future__ import annotations

import pytest

import anychan
from anychan.evaluation import evaluate_run, read_predictions
from anychan.prediction import Predictor, find_images

from ._runs import CLASSES, make_run, photograph


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor.load(run, device="cpu", batch_size=3)


@pytest.mark.parametrize("channels", ["RGB", "RG", "B"])
def test_answers_are_those_that_evaluate_stores(predictor, run, photos, tmp_path, channels):
    copy = make_run(tmp_path / "any")
    evaluate_run(copy, channels, data=photos, cost=False, pictures=False, device="cpu", cache_dir=tmp_path / "cache")
    stored = read_predictions(copy / "predictions" / "test.parquet")[channels, ""]
    answers = {
        prediction.image: prediction for prediction in predictor.predict(find_images([photos / "test"]), channels)
    }
    assert len(answers) == len(stored.paths) == len(CLASSES)
    for path, labels, probabilities in zip(stored.paths, stored.top, stored.probability, strict=True):
        answer = answers[str(photos / path)]
        assert answer.labels == tuple(labels)
        assert answer.classes == tuple(CLASSES[label] for label in labels)
        assert answer.probabilities == pytest.approx(probabilities, abs=1e-6)
    assert len({answer.probabilities for answer in answers.values()}) == len(CLASSES)  # the network does see


def test_channels_are_taken_by_name_and_in_any_order(predictor):
    data = photograph(3)
    one, other, another = (next(predictor.predict([data], channels)) for channels in ("RB", "BR", "RG"))
    assert one.labels == other.labels
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
    assert one.probabilities != pytest.approx(another.probabilities, abs=1e-4)
    assert (one.channels, other.channels, one.image) == ("RB", "BR", "")


def test_a_broken_image_stops_nothing(predictor, tmp_path):
    good, cut, empty = tmp_path / "good.png", tmp_path / "cut.png", tmp_path / "empty.png"
    good.write_bytes(photograph(1))
    cut.write_bytes(photograph(1)[:-200])
    empty.touch()
    (tmp_path / "bare").mkdir()
    named = [cut, good, empty, tmp_path / "none.png", tmp_path / "bare", good]
    answers = list(predictor.predict(named))
    assert [answer.error is None for answer in answers] == [False, True, False, False, False, True]
    said = [answer.error for answer in answers if answer.error]
    for error, words in zip(said, ("cannot be decoded", "zero bytes", "is missing", "without images"), strict=True):
        assert words in error
    assert answers[0].to_dict() == {"image": str(cut), "channels": "RGB", "classes": [], "error": said[0]}
    assert answers[1].probabilities == answers[5].probabilities


def test_top_is_how_many_classes_are_given(predictor):
    for top, given in ((1, 1), (5, 5), (99, len(CLASSES))):
        answer = next(predictor.predict([photograph(1)], top=top))
        assert len(answer.labels) == len(answer.classes) == len(answer.probabilities) == given
        assert list(answer.probabilities) == sorted(answer.probabilities, reverse=True)
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="top 0"):
        predictor.predict([], top=0)


def test_what_a_model_does_not_take_is_refused_before_any_image(predictor, tmp_path):
    with pytest.raises(ValueError, match="unknown channel 'N'"):
        predictor.predict([], "RN")
    plain = Predictor.load(make_run(tmp_path / "plain", "plain"), device="cpu")
    with pytest.raises(ValueError, match="a plain model takes all of RGB, not RG"):
        plain.predict([], "RG")
    assert next(plain.predict([photograph(1)], "BGR")).error is None
    kept = make_run(tmp_path / "kept", kept_subsets=("RGB", "RG"))
    with pytest.raises(ValueError, match="RB"):
        Predictor.load(kept, device="cpu").predict([], "RB")
    with pytest.raises(ValueError, match="batch_size 0"):
        Predictor.load(kept, batch_size=0)
    with pytest.raises(ValueError, match="device 'abacus' cannot be used"):
        Predictor.load(kept, device="abacus")


def test_a_channel_that_a_photograph_lacks_is_said_of_it(tmp_path):
    wide = Predictor.load(make_run(tmp_path, channels=["R", "G", "B", "N"]), device="cpu")
    assert next(wide.predict([photograph(1)])).error.startswith("has no channel N; there are R,G,B: ask for those")
    assert next(wide.predict([photograph(1)], "RGB")).error is None


def test_the_function_takes_a_model_by_name_and_globs(run, photos):
    answers = anychan.predict(run, photos / "test" / "*" / "*.jpeg", "RG", top=2)
    assert [answer.image for answer in answers] == [str(path) for path in sorted(photos.glob("test/*/*.jpeg"))]
    assert {len(answer.classes) for answer in answers} == {2}
