"""Channel sets: names, order, subsets, and what is said of bad ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anychan.channels import Channel, ChannelSet
from anychan.sensors import sensor

RGB = ChannelSet.parse("RGB")


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("RGB", ("R", "G", "B")),
        ("RG", ("R", "G")),
        ("BR", ("B", "R")),
        ("B04,B08", ("B04", "B08")),
        ("B04, B08", ("B04", "B08")),
        ("NIR", ("NIR",)),
        (["NIR", "R"], ("NIR", "R")),
        ([Channel("SWIR", 1.6)], ("SWIR",)),
    ],
)
def test_parse_reads_names(spec, names):
    assert ChannelSet.parse(spec).names == names


@pytest.mark.parametrize("channels", [{"R", "G"}, frozenset({"B"}), {Channel("R"), Channel("NIR", 0.8)}])
def test_sets_are_refused_as_they_have_no_order(channels):
    for read in (ChannelSet, ChannelSet.parse, RGB.subset, RGB.indices, lambda asked: RGB.resolve(asked, unseen=True)):
        with pytest.raises(ValueError, match="a set, which has no order: give a list"):
            read(channels)
    assert ChannelSet.parse(dict.fromkeys("BR")).names == ("B", "R")


def test_parse_within_keeps_what_is_known():
    known = ChannelSet([Channel("B04", 0.665, 0.2, 0.1), Channel("B08", 0.842, 0.4, 0.2)])
    assert ChannelSet.parse("B08", within=known)[0] == known[1]
    assert ChannelSet.parse("RG", within=ChannelSet(["G", "R", "NIR"])).names == ("R", "G")


def test_red_green_and_blue_know_their_wavelengths():
    r, g, b = RGB.wavelengths
    assert r > g > b > 0.38


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("RX", "unknown channel 'X'; there are R,G,B"),
        ("NIR", "unknown channel 'N'; there are R,G,B"),
        (["NIR"], "unknown channel 'NIR'; there are R,G,B"),
        ("RR", "channel 'R' stands twice in R,R"),
        ("", "no channel given; choose from R,G,B"),
        ([], "no channel given; choose from R,G,B"),
        ("R,,G", "unknown channel ''; there are R,G,B"),
        (np.zeros(2), "channels must be names or Channel objects, such as 'RG', not a ndarray"),
        ([1, "R"], r"such as 'RG', not \[1, 'R'\]"),
        (7, "such as 'RG', not 7"),
    ],
)
def test_bad_subsets_are_named(bad, said):
    for ask in (RGB.indices, RGB.subset, lambda spec: ChannelSet.parse(spec, within=RGB)):
        with pytest.raises(ValueError, match=said):
            ask(bad)


@pytest.mark.parametrize("bad", ["", "R,,G", "R,R", [], ["a b"], ["a,b"]])
def test_bad_sets_are_refused(bad):
    with pytest.raises(ValueError, match="channel"):
        ChannelSet.parse(bad)


@pytest.mark.parametrize(
    "values", [{"wavelength": 0.0}, {"wavelength": float("nan")}, {"std": -1.0}, {"mean": float("inf")}]
)
def test_impossible_values_of_a_channel_are_refused(values):
    with pytest.raises(ValueError, match="'R'"):
        Channel("R", **values)


def test_a_known_name_with_another_wavelength_is_refused_where_wavelengths_count():
    known = ChannelSet([Channel("R", 0.665), Channel("G", 0.56), Channel("VV")])
    for asked in ([Channel("R", 2.2)], ChannelSet([Channel("G"), Channel("R", 2.2)])):
        with pytest.raises(ValueError, match=r"channel 'R' has wavelength 0\.665 here, but was given with 2\.2"):
            known.resolve(asked, unseen=True)
    assert known.resolve([Channel("R", 0.665), Channel("VV", 5e4)], unseen=True) == known.subset("R,VV")


def test_where_wavelengths_do_not_count_a_name_may_be_a_little_off_but_not_another_band():
    known = ChannelSet([Channel("R", 0.665), Channel("G", 0.56), Channel("VV")])
    for allowed in ({}, {"unnamed": True}):
        for asked in ([Channel("R", 0.62)], ChannelSet([Channel("VV", 5e4), Channel("R", 0.75)]), [Channel("R")]):
            assert known.resolve(asked, **allowed)[-1] == known[0]
        for asked in ([Channel("R", 2.2)], ChannelSet([Channel("G"), Channel("R", 2.2)])):
            with pytest.raises(
                ValueError, match=r"'R' is at 2\.2 micrometres, but .* here is at 0\.665: they are diff"
            ):
                known.resolve(asked, **allowed)
    model, landsat = sensor("sentinel-2-l1c"), sensor("landsat-8-9").subset("B10,B11")
    with pytest.raises(ValueError, match="'B10' is at 10"):  # thermal there, cirrus here
        model.subset(landsat)
    assert len(model.subset(landsat.names)) == 2


@pytest.mark.parametrize("text", ["RG", ["R", "G"], ("R", "G"), "R,G"])
def test_names_alone_have_no_opinion_on_the_wavelength(text):
    known = ChannelSet([Channel("R", 0.665, 0.4, 0.2), Channel("G", 0.56)])
    assert known.resolve(text, unseen=True) == known
    assert known.resolve(["B", "R"], unseen=True).wavelengths == (0.46, 0.665)


def test_an_unseen_wavelength_in_another_unit_is_refused():
    known = ChannelSet([Channel("R", 0.665), Channel("T", 10.8), Channel("VV")])
    said = r"'B08' has wavelength 1842, more than 100 times away from 10\.8, the nearest of R,T,VV: .* in micrometres"
    for refuse in (lambda asked: known.resolve([asked], unseen=True), known.check_wavelength_unit):
        refuse(Channel("B08", 0.842))
        with pytest.raises(ValueError, match=said):
            refuse(Channel("B08", 1842))
    assert known.resolve([Channel("R"), Channel("VV", 5e4)], unseen=True) == known.subset("R,VV")
    with pytest.raises(ValueError, match="unknown channel 'DEM' without a wavelength"):
        known.resolve(["DEM"], unseen=True)
    assert ChannelSet(["A"]).resolve([Channel("B", 5e4)], unseen=True).wavelengths == (5e4,)


def test_subsets_are_all_and_the_largest_come_first():
    assert [str(s) for s in RGB.subsets()] == ["RGB", "RG", "RB", "GB", "R", "G", "B"]
    thirteen = ChannelSet(f"B{i:02}" for i in range(13))
    assert len({s.names for s in thirteen.subsets()}) == 2**13 - 1


def test_some_subsets_are_of_every_size_and_the_same_each_time():
    sixteen = ChannelSet(f"B{i:02}" for i in range(16))
    some = sixteen.some_subsets(each=4)
    assert [len(s) for s in some] == [16, *(n for n in range(15, 1, -1) for _ in range(4)), *[1] * 16]
    assert len({s.names for s in some}) == len(some)
    assert all(list(s.names) == sorted(s.names) for s in some)
    assert len({s.names[:2] for s in some if len(s) == 8}) > 1  # drawn, and not the first that there are
    assert some == ChannelSet(sixteen.names).some_subsets(each=4)
    assert RGB.some_subsets() == RGB.subsets()


@given(st.permutations("ABCDEFG"), st.integers(1, 7))
def test_indices_follow_the_order_asked_for(names, n):
    channels = ChannelSet("ABCDEFG")
    asked = names[:n]
    assert [channels.names[i] for i in channels.indices(asked)] == asked
    assert channels.subset(asked).names == tuple(asked)


def test_sequence_equality_and_text():
    assert ChannelSet.parse(["R", "G", "B"]) == RGB
    assert ChannelSet.parse("BGR") != RGB
    assert hash(RGB) == hash(ChannelSet.parse("RGB"))
    assert "R" in RGB
    assert Channel("G") in RGB
    assert "NIR" not in RGB
    assert len(RGB) == 3
    assert RGB[1:] == ChannelSet.parse("GB")
    assert repr(RGB) == "ChannelSet('RGB')"
    assert str(ChannelSet(["R", "NIR"])) == "R,NIR"


@given(st.lists(st.sampled_from(["R", "G", "B", "B04", "NIR", "dapi"]), min_size=1, unique=True))
def test_text_is_read_back(names):
    channels = ChannelSet(names)
    assert ChannelSet.parse(str(channels)).names == channels.names
    assert ChannelSet.from_dict(channels.to_dict()) == channels


def test_statistics_are_attached_by_position():
    described = RGB.with_statistics([0.1, 0.2, 0.3], [1, 2, 3])
    assert described[2] == Channel("B", RGB[2].wavelength, 0.3, 3.0)
    with pytest.raises(ValueError, match="shorter"):
        RGB.with_statistics([0.1], [1, 2, 3])


def test_units_are_recorded_where_they_are_not_shares():
    measured = ChannelSet([Channel("B04", 0.665, units="measured"), Channel("R")])
    assert ChannelSet.from_dict(measured.to_dict()) == measured
    assert "units" not in measured.to_dict()["channels"][1]  # as in records from before there were others
    assert measured.with_statistics([1, 2], [3, 4])[0].units == "measured"
    with pytest.raises(ValueError, match="units 'percent' are not 'share' or 'measured'"):
        Channel("R", units="percent")
