"""Seeds beside specialists of as many seeds are one table; where they cannot be paired, each stays by itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from anychan.evaluation.bootstrap import paired_chance, paired_interval, seeds_variance
from anychan.evaluation.holm import holm
from anychan.evaluation.intervals import wilson_interval
from anychan.evaluation.paired import Paired
from anychan.evaluation.predictions import pack_bits, unpack_right
from anychan.report import markdown_overview, markdown_specialists, markdown_tables, write_report
from anychan.report._reading.pooled_specialists import specialists_of
from anychan.report._reading.pooling import pooled
from anychan.report._reading.records import Run
from anychan.report._reading.runs import read_run
from anychan.report._sentences import numbers as fmt
from anychan.report._sentences.limits import limits
from anychan.report._sentences.questions import pairings
from anychan.report._tables.answers import answer_beside_specialists

from ._runs import seeded_run

Rights = npt.NDArray[np.bool_]
MORE = {"R": -40, "G": -3, "B": 60}  # images of 400 that a specialist has right more than the run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    found = [seeded_run(tmp_path / f"any-seed{seed}", seed, 0.5 + 0.01 * seed) for seed in range(3)]
    for seed, run in enumerate(found):
        compare(run, {subset: specialist(own(run, subset), more, seed) for subset, more in MORE.items()})
    return found


def results(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / "evaluation" / "test.json").read_text())["results"]
    return found


def own(run: Path, subset: str) -> Rights:
    return next(unpack_right(row["right"], row["n"]) for row in results(run) if row["subset"] == subset)


def specialist(right: Rights, more: int, seed: int) -> Rights:
    """Another model's answers: twenty images fall to either side, and so many more to its own."""
    lot = np.random.default_rng([seed, abs(more)])
    found = right.copy()
    found[lot.choice(np.flatnonzero(~right), 20 + max(more + seed, 0), replace=False)] = True
    found[lot.choice(np.flatnonzero(right), 20 + max(-more - seed, 0), replace=False)] = False
    return found


def compare(run: Path, rights: Mapping[str, Rights], split: str = "test", **keys: Any) -> None:
    """Write what `anychan compare --specialists` would of these answers."""
    rows = [
        {
            **{"subset": subset, "specialist": f"plain-{subset}", "specialist_right": pack_bits(right)},
            **Paired.of(own(run, subset), right).to_dict(),
        }
        for subset, right in rights.items()
    ]
    mean = {"accuracy": 0.5, "specialists": 0.4, "difference": 0.1, "difference_interval": [0.0, 0.2]}
    costs = [{"parameters": 100 * many, "passes": 15 * many, "seconds": 1.0} for many in (1, 3)]
    record = {"schema": 1, "kind": "specialists", "split": split, "run": run.name, "differs": [], "rows": rows}
    told = record | {"mean": mean, "cost": dict(zip(("run", "specialists"), costs, strict=True))} | keys
    (run / "specialists").mkdir(exist_ok=True)
    (run / "specialists" / f"{split}.json").write_text(json.dumps(told))


def change(run: Path, edit: Callable[[dict[str, Any]], Any], of: str = "specialists") -> None:
    path = run / of / "test.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


def row_of(runs: list[Path]) -> Run:
    (row,) = pooled([read_run(run) for run in runs])
    return row


def by_hand(differences_RN: npt.NDArray[np.float64], all_SRN: list[npt.NDArray[np.float64]] | None = None) -> float:
    """p by the formulas of Student and Satterthwaite, the seeds' variance from several sets."""
    (seeds, n), sets = differences_RN.shape, [differences_RN] if all_SRN is None else all_SRN
    a = np.mean([one_RN.mean(axis=1).var(ddof=1) for one_RN in sets]) / seeds
    b = differences_RN.mean(axis=0).var() / n
    freedom = (a + b) ** 2 / (a**2 / (len(sets) * (seeds - 1)) + b**2 / (n - 1))
    return 2 * float(stats.t.sf(abs(differences_RN.mean()) / np.sqrt(a + b), freedom))


@pytest.mark.parametrize("suffix", ["html", "md"])
def test_beside_specialists_nothing_is_said_to_be_unpaired(runs: list[Path], tmp_path: Path, suffix: str) -> None:
    said = "No paired comparison of these runs is recorded"
    assert said not in write_report(runs, tmp_path / f"a.{suffix}").read_text("utf-8")
    for run in runs:
        shutil.rmtree(run / "specialists")
    assert said in write_report(runs, tmp_path / f"a.{suffix}").read_text("utf-8")


def test_each_subset_and_the_mean_are_over_seeds_and_images(runs: list[Path]) -> None:
    (found,) = row_of(runs).specialists
    assert (found.run, found.split, found.seeds, found.differs) == ("any", "test", (0, 1, 2), ())
    assert (found.parameters, found.passes) == ((100, 300), (15, 45))
    both = {}
    for subset, more in MORE.items():
        own_RN = np.stack([own(run, subset) for run in runs])
        both[subset] = own_RN, np.stack([specialist(right, more, seed) for seed, right in enumerate(own_RN)])
    differences = [own_RN.astype(float) - theirs_RN for own_RN, theirs_RN in both.values()]
    ps = [by_hand(differences_RN, differences) for differences_RN in differences]
    spread = seeds_variance(differences)
    for row, differences_RN, p, (subset, more) in zip(found.rows, differences, ps, MORE.items(), strict=True):
        own_RN, theirs_RN = both[subset]
        assert (row.subset, row.n, row.right) == (subset, 400, "")
        assert (row.accuracy, row.specialist) == pytest.approx((own_RN.mean(), theirs_RN.mean()))
        assert row.difference == pytest.approx(-(more + 1) / 400)  # a mean of more, more + 1 and more + 2
        assert row.interval == pytest.approx(paired_interval(differences_RN, of_seeds=spread))
        assert row.p == pytest.approx(p)
    assert [row.p_holm for row in found.rows] == pytest.approx(holm(ps))
    assert [row.verdict for row in found.rows] == ["a is better", "not distinguishable", "b is better"]
    mean_RN = np.mean(differences, axis=0)
    assert found.difference == pytest.approx(mean_RN.mean())
    assert found.interval == pytest.approx(paired_interval(mean_RN))
    assert found.accuracy == pytest.approx(np.mean([row.accuracy for row in found.rows]))
    assert found.specialist == pytest.approx(np.mean([row.specialist for row in found.rows]))


def test_verdicts_are_corrected_for_the_number_of_subsets(runs: list[Path]) -> None:
    for seed, run in enumerate(runs):
        few = {"R": -40, "G": -10, "B": -10}
        compare(run, {subset: specialist(own(run, subset), more, seed) for subset, more in few.items()})
    found = row_of(runs).specialists[0].rows
    assert all(row.p < 0.05 and row.interval[0] > 0 for row in found)  # each by itself
    assert [row.verdict for row in found] == ["a is better", "not distinguishable", "not distinguishable"]


def test_p_is_that_of_the_interval() -> None:
    lot = np.random.default_rng(3)
    decided = []
    for shift in np.linspace(0, 0.08, 40):
        of_seeds = lot.normal(shift, 0.02, (3, 1))
        differences_RN = (lot.random((3, 300)) < 0.3 + of_seeds).astype(float) - (lot.random((3, 300)) < 0.3)
        low, high = paired_interval(differences_RN)
        assert paired_chance(differences_RN) == pytest.approx(by_hand(differences_RN))
        assert (paired_chance(differences_RN) < 0.05) == (not low <= 0 <= high)
        decided.append(paired_chance(differences_RN) < 0.05)
    assert 0 < sum(decided) < len(decided)
    assert paired_chance(np.zeros((2, 5))) == 1.0
    assert paired_chance(np.ones((2, 5))) == 0.0


def test_the_page_has_one_table_and_says_what_it_is_of(runs: list[Path], tmp_path: Path) -> None:
    markdown = markdown_tables(runs)
    (caption,) = [line for line in markdown.splitlines() if "trained for each subset alone, 3 seeds" in line]
    assert "any and a plain network trained for each subset alone, 3 seeds (0, 1 and 2) of each" in caption
    assert "Verdicts are corrected by Holm's method for the number of subsets" in caption
    assert "over seeds and images, the variance of seeds is that of all subsets, and the intervals are" in caption
    assert "All of one seed were trained with the same settings" in caption
    assert "100 parameters against 300 and 15 passes" in caption
    (row,) = [line for line in markdown.splitlines() if line.startswith("| B |") and "the specialist is better" in line]
    assert " | −15.2 (" in row
    page = write_report(runs, tmp_path / "report.html").read_text("utf-8")
    assert page.count("trained for each subset alone, 3 seeds (0, 1 and 2) of each, in percent") == 2  # and its label
    assert "McNemar test, two-sided" not in page
    assert page.count("any minus the specialists: R +9.8 (") == 1
    assert "any-seed1 minus the specialists" not in page
    said = pairings([row_of(runs)], [], "test")
    assert said == ["any is held against a specialist for each of R, G and B, with seeds 0, 1 and 2 each, on the same "
                    "images."]  # fmt: skip


def test_the_answers_tell_what_each_seed_has_on_average(runs: list[Path], tmp_path: Path) -> None:
    together = row_of(runs).specialists[0]
    of_each = [np.mean([row.difference for row in read_run(run).specialists[0].rows]) for run in runs]
    assert together.by_seed == pytest.approx(of_each)
    assert len(set(together.by_seed)) == 3
    table = answer_beside_specialists([together, *row_of(runs[:1]).specialists])
    assert table is not None
    means = fmt.listing([fmt.difference(float(one)) for one in of_each])
    assert [row[0].small for row in table.groups[0].rows] == [f"seeds 0, 1 and 2: {means} on average", ""]


def test_runs_with_the_same_specialists_share_their_row(runs: list[Path], tmp_path: Path) -> None:
    other = shutil.copytree(runs[0], tmp_path / "other")
    record = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(record | {"name": "other"}))
    told = markdown_overview([runs[0], other])
    (line,) = [line for line in told.splitlines() if line.startswith("| specialists of ")]
    assert line.startswith("| specialists of any-seed0 and other | ")
    assert told.splitlines()[0].endswith("Specialists are plain networks, each trained for one subset alone.")
    third = shutil.copytree(other, tmp_path / "third")
    (third / "run.json").write_text(json.dumps(record | {"name": "third"}))
    rows = [line.split(" | ")[0] for line in markdown_overview([runs[0], other, third]).splitlines()]
    of_all = "| specialists of any-seed0 and 2 more (with other and third)"
    assert rows.index(of_all) == rows.index("| other") - 1  # below the first that they are for
    change(other, lambda record: record["rows"][0].update(accuracy_b=0.9))
    record["name"] = "any"
    (other / "run.json").write_text(json.dumps(record))  # as a folder elsewhere may be called
    lines = markdown_overview([runs[0], other]).splitlines()
    assert len({line for line in lines if line.startswith("| specialists of any")}) == 2
    assert markdown_overview([runs[0], other]).count("| specialists of ") == 2
    said = limits([read_run(run) for run in (runs[0], other)], "test", ())
    assert "Verdicts are corrected within a comparison, not over the two comparisons shown." in said


def test_specialists_that_are_all_right_are_not_sure_to_be_so_again(runs: list[Path]) -> None:
    for run in runs:
        compare(run, {"R": np.ones(400, bool)})
    (line,) = [line for line in markdown_overview(runs).splitlines() if line.startswith("| specialists of ")]
    assert f"100.0 ({fmt.interval(wilson_interval(400, 400))})" in line


def test_specialists_stand_alone_in_markdown(runs: list[Path]) -> None:
    told = markdown_specialists(runs)
    assert told.startswith("any and a plain network trained for each subset alone, 3 seeds")
    assert told in markdown_tables(runs)


def test_the_summary_speaks_of_all_seeds(runs: list[Path], tmp_path: Path) -> None:
    other = seeded_run(tmp_path / "other", 0, 0.4, model="wide6")
    page = write_report([*runs, other], tmp_path / "report.md").read_text("utf-8")
    assert page.count("beside a plain network trained for each subset alone, over 3 seeds: −1.7 points on average") == 1
    assert "R by +9.8 and B by −15.2 is decided" in page


def unanswered(run: Path) -> None:
    (run / "specialists" / "test.json").unlink()


def of_fewer_subsets(run: Path) -> None:
    change(run, lambda record: record["rows"].pop())


def without_bits(run: Path) -> None:
    change(run, lambda record: record["rows"][1].pop("specialist_right"))


def of_another_split(run: Path) -> None:
    change(run, lambda record: record.update(split="val"))


def of_the_first_seed(run: Path) -> None:
    first = json.loads((run.parent / "any-seed0" / "specialists" / "test.json").read_text())
    change(run, lambda record: record["rows"][2].update(specialist_right=first["rows"][2]["specialist_right"]))


@pytest.mark.parametrize("edit", [unanswered, of_fewer_subsets, without_bits, of_another_split, of_the_first_seed])
def test_what_cannot_be_paired_stays_apart(edit: Callable[[Path], None], runs: list[Path], tmp_path: Path) -> None:
    edit(runs[1])
    row = row_of(runs)
    assert row.specialists == ()
    alone = [found.run for found in specialists_of([row])]
    assert alone == [run.name for run in runs if edit is not unanswered or run != runs[1]]
    page = write_report(runs, tmp_path / "report.html").read_text("utf-8")
    assert "3 seeds (0, 1 and 2) of each" not in page
    assert all(f"{name} and a plain network trained for each subset alone, in percent" in page for name in alone)
    assert "Student's t over seeds and images, two-sided" not in page


def test_a_split_of_some_seeds_does_not_hinder_another(runs: list[Path]) -> None:
    answers = {subset: own(runs[0], subset) for subset in ("R", "G")}
    compare(runs[0], answers, "val")
    assert [(found.run, found.split) for found in specialists_of([row_of(runs)])] == [
        ("any", "test"),
        ("any-seed0", "val"),
    ]


def test_subsets_that_leave_out_images_have_no_mean(runs: list[Path]) -> None:
    def leave_out(record: dict[str, Any]) -> None:
        for row in record["results"]:
            row["left_out"] = 3 if row["subset"] == "G" else 0

    for run in runs:
        change(run, leave_out, "evaluation")
    assert row_of(runs).specialists == ()
    for run in runs:
        change(run, lambda record: record.update(rows=[row for row in record["rows"] if row["subset"] == "G"]))
    assert [row.subset for row in row_of(runs).specialists[0].rows] == ["G"]


def test_channels_are_told_by_their_names_in_any_order(runs: list[Path]) -> None:
    for seed, run in enumerate(runs):
        compare(run, {"RG": specialist(own(run, "RG"), 30, seed)})
        change(run, lambda record: record["results"][1].update(subset="GR"), "evaluation")
    (row,) = row_of(runs).specialists[0].rows
    assert (row.subset, row.verdict) == ("RG", "b is better")


def test_what_differs_in_any_seed_is_told_and_costs_only_where_they_agree(runs: list[Path]) -> None:
    change(runs[1], lambda record: record.update(differs=["epochs"]))
    change(runs[2], lambda record: record["cost"]["specialists"].update(passes=44))
    (found,) = row_of(runs).specialists
    assert (found.differs, found.parameters, found.passes) == (("epochs",), (100, 300), (15, None))
    assert "They were not trained alike: they differ in epochs." in markdown_tables(runs)


def test_where_seeds_were_trained_is_told_only_if_it_is_recorded_of_all(runs: list[Path]) -> None:
    def caption() -> str:
        return markdown_tables(runs).partition("any and a plain network")[2].partition("\n")[0]

    assert "In which number format and on which processor each was trained is not recorded." in caption()
    here, there = ({"precision": "float32", "processor": name} for name in ("A CPU", "A GPU"))

    def trained(record: dict[str, Any], run: Mapping[str, str], others: Mapping[str, str]) -> None:
        record["trained"] = run
        for row in record["rows"]:
            row["trained"] = others

    both = "in float32 on A CPU and in float32 on A GPU"
    for run, place in zip(runs, (here, here, there), strict=True):
        change(run, lambda record, place=place: trained(record, place, here))
    assert f" Trained {both}: any; in float32 on A CPU: the specialists for R, G and B." in caption()
    for run, place in zip(runs, (here, here, there), strict=True):
        change(run, lambda record, place=place: trained(record, here, place))
    assert f" Trained in float32 on A CPU: any; {both}: the specialists for R, G and B." in caption()
    change(runs[0], lambda record: record["rows"][1].pop("trained"))
    assert "not recorded: the specialist for G." in caption()
    for run in runs:
        change(run, lambda record: trained(record, here, here))
    assert " All were trained in float32 on A CPU." in caption()
