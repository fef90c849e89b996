"""The page in a real browser: no error, no sideways scroll on a phone, every figure to be seen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from anychan.report import write_report

from ._runs import FILLS, seeded_run, write_ablation, write_run

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("browser")
    names = [f"class {i} with a rather long name" for i in range(50)]
    runs = [
        write_run(folder / "first", classes=names, fills=FILLS),
        write_run(folder / "plain-with-a-long-name-without-any-space-in-it", classes=names, strategy="plain"),
        seeded_run(folder / "another-network", 0, 0.5, "wide6"),
        write_ablation(folder / "ablation", "Does any of these changes help on average over all of the subsets?"),
    ]
    return write_report(runs, folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(_NAMES)} is installed")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=program, headless=True, args=arguments)
        yield launched
        launched.close()


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1200, "dark")])
def test_looks_right(browser: Any, report: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report)
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [report]
    page.evaluate("document.querySelectorAll('details').forEach((element) => (element.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    drawings = page.locator("svg[role=img], img")
    sizes = drawings.evaluate_all(
        "all => all.map(e => [e.getBoundingClientRect().width, e.getBoundingClientRect().height])"
    )
    assert len(sizes) == 2 + 13 + 4 + 1 + 12  # stems, of runs, fronts, an ablation, pictures
    assert min(side for size in sizes for side in size) >= 90
    page.close()


def test_tables_sort(browser: Any, report: str) -> None:
    page = browser.new_page()
    page.goto(report)
    page.locator("details", has_text="Every class").first.evaluate("element => (element.open = true)")
    table = page.locator("details table").filter(has_text="precision").filter(has_text="images").first
    column = "rows => rows.map(row => Number(row.cells[4].textContent))"
    table.get_by_role("button", name="F1").click()
    falling = table.locator("tbody tr").evaluate_all(column)
    table.get_by_role("button", name="F1").click()
    assert falling == sorted(falling, reverse=True)
    assert table.locator("tbody tr").evaluate_all(column) == falling[::-1]
    assert table.locator("th[aria-sort]").count() == 1
    page.close()
