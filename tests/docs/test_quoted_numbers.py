"""Every measured number in the documents' prose follows from a record that its paragraph names, or is listed as not.

What counts as measured says ``_prose.py``. The records a number may come from are those named in its paragraph, by
folder in code or by name in italics; where it names none those of its section, else those of its page. The subset is
the one named right before or right behind it. What has no record stands, with the reason, in
docs/records/unrecorded.yaml.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from . import _recorded as recorded
from ._prose import Block, Quote, blocks, quotes
from ._recorded import PROJECT, RECORDS, Fact

PAGES = [
    PROJECT / "README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "docs" / "guide").glob("*.md")),
    *sorted((PROJECT / "docs" / "theory").glob("*.md")),
    PROJECT / "docs" / "make_results.py",
    PROJECT / "docs" / "make_decisions.py",
]
MADE = PROJECT / "docs" / "results.md"  # as a whole: its texts are checked where they are written
ITALICS = {
    PROJECT / "README.md",
    *(PROJECT / "docs" / name for name in ("abstract.md", "experiments.md", "make_results.py")),
}
UNRECORDED = RECORDS / "unrecorded.yaml"
SHARES = {"%", "percent", "point", "points"}
RATES = {"", *SHARES, "times"}
SPEEDS = {"images/s": "images_per_second", "s": "seconds"}
# What a unit may be of, and what one of it is; without one, or before "at 84x84", it may be M or G of either.
COSTS = {
    "ms": [(1.0, {"ms"})],
    "times": [(1.0, {"ratio"})],
    "parameters": [(1.0, {"parameters"})],
    **{unit + "MACs": [(scale, {"macs"})] for unit, scale in (("", 1.0), ("M", 1e6), ("G", 1e9))},
    **{unit: [(scale, {"macs", "parameters"})] for unit, scale in (("k", 1e3), ("M", 1e6), ("G", 1e9))},
    **{unit: [(scale, {"bytes"})] for unit, scale in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("MiB", 2.0**20))},
}
UNSCALED = [(1e6, {"macs", "parameters"}), (1e9, {"macs", "parameters"})]


def names(text: str, known: Iterable[str] = ()) -> list[str]:
    """Records named in a text, in their order: in code by folder, in italics by name or by a part of a known one's."""
    found: list[str] = []
    for match in re.finditer(r"`(?P<code>[^`\n]+)`|(?<![*\w])\*(?P<italic>[a-z][\w-]*)\*(?![*\w])", text):
        if match["code"]:
            found += recorded.records_named(match["code"])
        else:
            parts = [name for name in known if match["italic"] in {name, *name.split("-", 1)}]
            found += parts or recorded.records_named(match["italic"])
    return list(dict.fromkeys(found))


@cache
def _named_on(path: Path, section: str | None) -> list[str]:
    texts = [block.text for block in blocks(path) if section is None or block.section == section]
    in_code = [name for text in texts for name in names(re.sub(r"\*[a-z][\w-]*\*", "", text))]
    return list(dict.fromkeys([*in_code, *(name for text in texts for name in names(text, in_code))]))


def _scope(path: Path, block: Block) -> list[str]:
    if path not in ITALICS:  # there a name in italics is a strategy's, not a record's
        return names(re.sub(r"\*[a-z][\w-]*\*", "", block.text))
    section = _named_on(path, block.section)
    ablations = [name for name in section if name in recorded.ABLATIONS]  # whose changes are named, and not records
    if ablations:
        return list(dict.fromkeys([*ablations, *names(block.text, section)]))
    return names(block.text, section) or section or (_named_on(path, None) if not block.section else [])


def candidates(quote: Quote) -> Iterator[Fact]:
    """All that the records in its scope say in a number's unit, in that unit."""
    scope = _scope(quote.path, quote.block)
    before, split = quote.sentence[: quote.at], "val" if "validation" in quote.sentence else "test"
    if "rank correlation" in quote.sentence:
        yield from recorded.correlations(scope)
    if re.search(r"\bseeds\b", quote.sentence):
        yield from recorded.of_seeds(scope, split)
    yield from recorded.reported(re.findall(r"\[(00\d)\]", quote.sentence))
    if re.search(r"\bp = $|\bp = [\d.]+ by itself, $", before):
        yield from recorded.chances(scope, split)
    elif before.endswith("p < "):
        below = (fact for fact in recorded.chances(scope, split) if fact.value < quote.value)
        yield from (replace(fact, value=quote.value) for fact in below)
    elif quote.unit in (SHARES if quote.path.parent.name == "theory" else RATES):  # there the others are costs
        yield from _answers(quote, scope, split)
    elif quote.unit in SPEEDS:
        yield from recorded.speeds(scope, SPEEDS[quote.unit])
        yield from (fact for kind, fact in _steps(quote) if kind == SPEEDS[quote.unit])
    else:
        yield from _costs(quote, scope)


def _answers(quote: Quote, scope: list[str], split: str) -> Iterator[Fact]:
    """Ratios where the paragraph names a benchmark, bounds of intervals in brackets, else rates and differences."""
    if benchmarks := _benchmarks(quote):
        yield from recorded.benchmark_ratios(benchmarks)
    elif quote.bound:
        yield from recorded.intervals(scope, split)
    else:
        if quote.unit not in {"point", "points"}:
            yield from recorded.rates(scope, split, quote.sentence)
        if quote.unit not in {"%", "percent"}:
            yield from recorded.differences(scope, split)
        elif "ResNet34" in quote.sentence:
            yield from recorded.shares(scope, split)
    if not quote.unit:
        yield from recorded.settings(scope, quote.sentence)


def _benchmarks(quote: Quote) -> list[str]:
    """Those that its paragraph names, or the head of its table."""
    text = " ".join((quote.block.text, *quote.block.heads))
    return [name for name in recorded.BENCHMARK_NAMES if name in text]


def _steps(quote: Quote) -> Iterator[tuple[str, Fact]]:
    return recorded.benchmark_steps(_benchmarks(quote))


def _costs(quote: Quote, scope: list[str]) -> Iterator[Fact]:
    """Of the records in scope and, on a page of the theory, of the networks that the sentence names, else the page."""
    found = [*recorded.costs(scope), *_steps(quote)]
    if quote.path.parent.name == "theory":
        page = "\n".join(block.text for block in blocks(quote.path))
        found += list(recorded.network_costs(quote.sentence)) or list(recorded.network_costs(page))
    for scale, kinds in COSTS.get(quote.unit, UNSCALED):
        yield from (replace(fact, value=fact.value / scale) for kind, fact in found if kind in kinds)


def _fits(quote: Quote, fact: Fact, cues: set[str]) -> bool:
    """Whether a fact gives the number as printed, with its sign if that is printed, for a subset it may speak of."""
    return _speaks(fact, cues) and _rounds(quote, fact) and _is_the_pair(quote, fact)


def _speaks(fact: Fact, cues: set[str]) -> bool:
    size = {1: "one", 2: "two"}.get(len(fact.subset), "") if fact.subset.isupper() else ""
    return not (cues and fact.subset) or fact.subset in cues or size in cues


def _rounds(quote: Quote, fact: Fact) -> bool:
    value = -fact.value if quote.turned else fact.value
    value, printed = (value, quote.value) if quote.signed else (abs(value), abs(quote.value))
    return abs(value - printed) <= 0.5 * 10**-quote.digits + 1e-9


def _is_the_pair(quote: Quote, fact: Fact) -> bool:
    """Whether the other ends of both intervals are the same too, as far as both have one."""
    one, other = quote.partner, fact.partner
    return one is None or other is None or abs(abs(one) - abs(other)) <= 0.5 * 10**-quote.digits + 1e-9


def is_recorded(quote: Quote) -> bool:
    cues = quote.cues
    return any(_fits(quote, fact, cues) for fact in candidates(quote))


def complaint(quote: Quote) -> str:
    """Where a number stands, and what records say that is nearest."""
    cues = quote.cues
    found = {(fact.what, fact.value): fact for fact in candidates(quote)}.values()
    nearest = sorted(found, key=lambda fact: (not _speaks(fact, cues), abs(abs(fact.value) - abs(quote.value))))[:3]
    told = "; ".join(f"{fact.value:.{quote.digits + 1}f} ({fact.what})" for fact in nearest) or "nothing in this unit"
    scope = ", ".join(_scope(quote.path, quote.block)) or "no record"
    where = quote.path.relative_to(PROJECT) if quote.path.is_relative_to(PROJECT) else quote.path.name
    number = " ".join(filter(None, (quote.text, quote.unit)))
    return f"{where}:{quote.line}: {number} is in no record of its paragraph ({scope}); nearest: {told}"


def unrecorded() -> list[dict[str, Any]]:
    """The entries of docs/records/unrecorded.yaml: file, says (words of one sentence), numbers (as printed), why."""
    return list(yaml.safe_load(UNRECORDED.read_text(encoding="utf-8")))


def _excuses(entry: dict[str, Any], quote: Quote) -> bool:
    says = " ".join(entry["says"].split())
    return (
        PROJECT / entry["file"] == quote.path
        and says in " ".join(quote.sentence.split())
        and quote.text in entry["numbers"]
    )


@cache
def all_quotes() -> list[Quote]:
    return [quote for path in PAGES if path != MADE for quote in quotes(path)]


def test_every_measured_number_has_a_record_or_a_reason() -> None:
    entries = unrecorded()
    wrong = [quote for quote in all_quotes() if not is_recorded(quote)]
    left = [complaint(quote) for quote in wrong if not any(_excuses(entry, quote) for entry in entries)]
    assert not left, "\n" + "\n".join(left) + "\n(put right, or say in docs/records/unrecorded.yaml where it is from)"


@pytest.mark.parametrize("entry", unrecorded(), ids=lambda entry: entry["file"].rpartition("/")[2])
def test_no_reason_is_stale(entry: dict[str, Any]) -> None:
    assert entry.keys() == {"file", "says", "numbers", "why"}
    assert len(entry["why"].split()) > 3
    excused = [quote for quote in all_quotes() if _excuses(entry, quote)]
    assert {quote.text for quote in excused} == set(entry["numbers"]), (
        f"{entry['file']} no longer says {entry['says']!r} so"
    )
    known = [quote.text for quote in excused if is_recorded(quote)]
    assert not known, f"{known} of {entry['says']!r} have a record now; leave them out"


def test_a_changed_digit_is_found() -> None:
    """Of every fourth number whose last digit is one more or less, four in five at least are in no record."""
    found = total = 0
    for quote in filter(is_recorded, islice(all_quotes(), 0, None, 4)):
        for step in (-1, 1):
            digit = int(quote.text[-1]) + step
            if 0 <= digit <= 9:
                total += 1
                found += not is_recorded(replace(quote, text=quote.text[:-1] + str(digit)))
    assert found >= 0.8 * total > 200, f"{found} of {total}"


PAGE = """# A page

## An entry

Of `docs/records/any` and `docs/records/plain`, in percent, at 64x64 in 10 epochs, one seed, with Python 3.11:

- On RGB *any* names {rgb} % right, *plain* 47.8 %; on RG *any* names 42.7 % (40.8 to 44.7).
- It trained at {speed} images/s.
- *any* is 0.6 points behind its specialists on average ({behind}).
- Elsewhere 51.3 % were reached (arXiv 1234.56789).
"""
OF_SUBSETS = """# A page

Of `docs/records/ablation-sampling` the base names 31.0 % right on RGB and 25.1 % on average.

[000] reported 63.8 % on RGB, and on R 42.4 %.
"""


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (("47.7", "55", "-0.1 to 1.4"), []),
        (("47.6", "55", "-0.1 to 1.4"), ["page.md:7: 47.6 %"]),
        (("42.7", "55", "-0.1\nto 1.4"), ["page.md:7: 42.7 %"]),  # right of another subset
        (("47.7", "58", "-0.1 to 1.4"), ["page.md:8: 58 images/s"]),
        (("47.7", "55", "-1.4 to 0.1"), ["page.md:9: -1.4"]),  # of how far it is ahead
    ],
)
def test_a_wrong_number_is_told_with_its_place_and_what_is_nearest(
    said: tuple[str, str, str], wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, (rgb, speed, behind) = tmp_path / "page.md", said
    page.write_text(PAGE.format(rgb=rgb, speed=speed, behind=behind), encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ITALICS", {page})
    told = [complaint(quote) for quote in quotes(page) if not is_recorded(quote)]
    assert [line.split(" is in no record")[0] for line in told] == [
        *wrong,
        f"page.md:{10 + behind.count(chr(10))}: 51.3 %",
    ]
    assert all("nearest: 47.68 (accuracy of any on RGB)" in line for line in told if ":7:" in line)


def test_a_page_of_the_theory_has_accuracies_of_records_that_its_paragraph_names(tmp_path: Path) -> None:
    page = tmp_path / "theory" / "page.md"
    page.parent.mkdir()
    page.write_text("`any` names 47.7 % right on RGB, `plain` 47.9 %.\n\nIt names 47.7 % right.\n", encoding="utf-8")
    assert [(quote.text, quote.line) for quote in quotes(page) if not is_recorded(quote)] == [("47.9", 1), ("47.7", 3)]


def test_what_ablations_and_sources_say_is_of_the_subset_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    monkeypatch.setattr(sys.modules[__name__], "ITALICS", {page})
    for text, wrong in (
        (OF_SUBSETS, []),
        (OF_SUBSETS.replace("31.0 % right on RGB", "31.0 % right on RG"), ["31.0"]),
        (OF_SUBSETS.replace("25.1 % on average", "25.1 % on RGB"), ["25.1"]),
        (OF_SUBSETS.replace("63.8 % on RGB, and on R", "63.8 % on RG, and on G"), ["63.8", "42.4"]),
    ):
        page.write_text(text, encoding="utf-8")
        assert [quote.text for quote in quotes(page) if not is_recorded(quote)] == wrong
