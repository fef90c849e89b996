"""What stands below a page: what it was made from, and what its intervals are over."""

from __future__ import annotations

import json
from pathlib import Path

from anychan.report import write_report

from ._runs import seeded_run, write_ablation, write_run, write_search


def test_the_footer_says_what_the_page_was_made_from_and_what_its_intervals_are_over(tmp_path: Path) -> None:
    run, ablation, search = write_run(tmp_path / "run"), write_ablation(tmp_path / "a"), write_search(tmp_path / "s")

    def footer(*folders: Path) -> str:
        text = write_report(list(folders), tmp_path / "page.html").read_text("utf-8")
        return text[text.index("<footer><p>Made by anychan from the ") + 36 : text.index("</p></footer>")]

    of_runs = (
        "alone. Intervals are of 95 %, over images: of accuracies Wilson&#39;s, of other figures as their captions say"
    )
    no_seeds = "they do not cover the chance of another seed."
    assert footer(run) == f"run folder {of_runs}; {no_seeds}"
    assert footer(ablation) == "record alone. Intervals are of 95 %, over images and seeds."
    assert footer(search) == "record alone."
    but = "but for those of ablations with several seeds "
    assert footer(run, ablation, search) == f"run folder and records {of_runs}; {but}{no_seeds}"
    path = ablation / "ablation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seeds": [0]}))
    assert footer(ablation) == f"record alone. Intervals are of 95 %, over images; {no_seeds}"
    both = "records alone. Intervals are of 95 %, over images, and over seeds where there are several; elsewhere "
    assert footer(ablation, write_ablation(tmp_path / "b")) == f"{both}{no_seeds}"
    pooled = [seeded_run(tmp_path / f"seed{seed}", seed, 0.6) for seed in (0, 1)]
    assert footer(*pooled).startswith(f"run folders {of_runs}. Where several seeds were run, a row is their mean")
