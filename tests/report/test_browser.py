"""The page in a real browser: no error, no sideways scroll on a phone, every figure to be seen."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from PIL import Image, ImageChops

from anychan.report import write_report
from anychan.report._charts import svg
from anychan.report._charts.svg import PAPER, draw

from ._runs import FILLS, run_record, seeded_run, write_ablation, write_run

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_DOCS = Path(__file__).parents[2] / "docs" / "report.html"
_DRAWINGS = "svg[role=img], img"
# Of each drawing whether it is there to be seen: with a box on the page, or in a part of it that scrolls by itself.
_SEEN = """all => all.map(drawing => {
    const box = drawing.getBoundingClientRect();
    const inside = box.left >= 0 && box.right <= document.documentElement.scrollWidth;
    return drawing.checkVisibility({visibilityProperty: true, opacityProperty: true})
        && box.width > 0 && box.height > 0 && (inside || drawing.closest(".scroll") !== null);
})"""


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


def unfolded(browser: Any, report: str, width: int, scheme: str = "light") -> Any:
    """A page with all that is on request shown, which was seen to need nothing else and to complain of nothing."""
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
    return page


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1200, "dark")])
def test_looks_right(browser: Any, report: str, width: int, scheme: str) -> None:
    page = unfolded(browser, report, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    drawings = page.locator(_DRAWINGS)
    sizes = drawings.evaluate_all(
        "all => all.map(e => [e.getBoundingClientRect().width, e.getBoundingClientRect().height])"
    )
    assert len(sizes) == 2 + 13 + 5 + 1 + 12  # stems, of runs, fronts, an ablation, pictures
    assert min(side for size in sizes for side in size) >= 90
    assert all(drawings.evaluate_all(_SEEN))
    page.close()


def test_a_wide_table_takes_the_room_there_is(browser: Any, report: str) -> None:
    page = unfolded(browser, report, 1440)
    edges = page.locator("section > .tabular > .scroll").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().right)"
    )
    text = page.evaluate("document.querySelector('main > section').getBoundingClientRect().right")
    assert text + 100 < max(edges) < 1440
    assert page.evaluate("document.documentElement.scrollWidth") == 1440
    page.close()


def test_the_committed_report_looks_right_on_a_phone(browser: Any) -> None:
    page = unfolded(browser, _DOCS.as_uri(), 375)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    seen = page.locator(_DRAWINGS).evaluate_all(_SEEN)
    hidden = [label for label, shown in zip(_labels(page), seen, strict=True) if not shown]
    assert len(seen) > 100
    assert not hidden
    page.close()


def _labels(page: Any) -> list[str]:
    found: list[str] = page.locator(_DRAWINGS).evaluate_all(
        "all => all.map(e => (e.getAttribute('aria-label') ?? e.alt).slice(0, 80))"
    )
    return found


def test_paper_has_the_likeliest_classes(browser: Any) -> None:
    page = browser.new_page()
    page.goto(_DOCS.as_uri())
    likeliest = page.locator(".picture .five dd")
    displayed = "all => all.map(e => e.checkVisibility() && e.getBoundingClientRect().height > 0)"
    assert not any(likeliest.evaluate_all(displayed))  # on a screen they are on request
    page.emulate_media(media="print")
    on_paper = likeliest.evaluate_all(displayed)
    assert len(on_paper) > 20
    assert all(on_paper)
    page.close()


def test_on_paper_what_is_long_is_as_the_reader_left_it(browser: Any) -> None:
    """A report of many runs would print hundreds of pages of configurations and tables of single runs."""
    page = browser.new_page()
    page.goto(_DOCS.as_uri())
    texts = page.locator("#reproduce details.long pre")
    commands = page.locator("#reproduce pre.command")
    assert min(texts.count(), commands.count()) > 40
    displayed = "all => all.map(e => e.checkVisibility() && e.getBoundingClientRect().height > 0)"
    page.emulate_media(media="print")
    assert not any(texts.evaluate_all(displayed))
    assert all(commands.evaluate_all(displayed))
    page.locator("#reproduce details.long").first.evaluate("element => (element.open = true)")
    assert texts.evaluate_all(displayed).count(True) == 1
    page.close()


def test_paper_tells_of_what_is_folded_where_something_is(browser: Any, report: str) -> None:
    page = browser.new_page()
    page.goto(report)
    note = page.get_by_text("was folded when this was printed")
    assert not note.is_visible()
    page.emulate_media(media="print")
    assert note.is_visible()
    page.evaluate("document.querySelectorAll('details.long').forEach((element) => (element.open = true))")
    assert not note.is_visible()
    page.close()


def test_on_paper_wide_tables_go_on_below(browser: Any) -> None:
    """All of their columns are within the margins of an A4 sheet; on the screen they are as before."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.goto(_DOCS.as_uri())
    headings = page.locator("#networks thead, #protocol thead")
    texts = "all => all.map(e => [...e.rows[0].cells].map(cell => cell.textContent))"
    before = headings.evaluate_all(texts)
    assert max(map(len, before)) > 12
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})
    beyond = "all => all.filter(e => e.getBoundingClientRect().right > document.body.clientWidth + 1).length"
    assert page.locator("table, svg, pre, img").evaluate_all(beyond) == 0
    shown = page.locator("#networks table:visible, #protocol table:visible").locator("thead").evaluate_all(texts)
    assert len(shown) > len(before)
    for columns in before:
        there = next(i for i, one in enumerate(shown) if one == columns[: len(one)])
        found = list(shown[there])
        while len(found) < len(columns):
            there += 1
            assert shown[there][0] == columns[0]
            found += shown[there][1:]
        assert found == columns
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert headings.evaluate_all(texts) == before
    page.evaluate(
        "addEventListener('beforeprint', () => { window.tables = document.querySelectorAll('table').length })"
    )
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
    assert page.evaluate("window.tables") > page.locator("table").count()
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


def test_tables_sort_by_what_numbers_are_and_not_by_how_they_are_written(browser: Any, tmp_path: Path) -> None:
    def written(name: str, images: int, size: int, **record: Any) -> Path:
        run = run_record(name, "RGB", "completed", 5)
        config, data = run["config"] | {"image_size": size}, run["data"] | {"splits": {"train": images}}
        return write_run(tmp_path / name, epochs=0, pictures=0, config=config, data=data, **record)

    runs = [
        written("few", 9_000, 64, accuracy=0.6),
        written("most", 1_240_000, 128, accuracy=0.12),
        written("many", 24_000, 224, accuracy=0.55),
        written("unknown", 0, 96, accuracy=0.3),
    ]
    path = runs[3] / "run.json"
    path.write_text(path.read_text("utf-8").replace('"train": 0', '"test": 0'), "utf-8")
    page = browser.new_page()
    page.goto(write_report(runs, tmp_path / "report.html").as_uri())

    def in_order(table: Any, heading: str) -> list[list[str]]:
        names = "rows => rows.map(row => row.cells[0].textContent)"
        button = table.locator("thead button").filter(has_text=re.compile(f"^{heading}$"))
        orders = []
        for _ in range(2):
            button.click()
            orders.append(table.locator("tbody tr").evaluate_all(names))
        return orders

    protocol = page.locator("#protocol table").filter(has_text="training images")
    assert in_order(protocol, "training images") == [
        ["most", "many", "few", "unknown"],
        ["few", "many", "most", "unknown"],  # an empty cell is last
    ]
    assert in_order(protocol, "image size")[1] == ["few", "unknown", "most", "many"]
    overview = page.locator("#subsets figure.overview")
    assert in_order(overview, "RGB") == [["few", "many", "unknown", "most"], ["most", "unknown", "many", "few"]]
    page.evaluate("document.querySelectorAll('details').forEach((element) => (element.open = true))")
    metrics = page.locator("#subsets figure.metrics").filter(has_text="most: n = 400 images")
    assert [order[::6] for order in in_order(metrics, "95 % interval")] == [["RGB", "B"], ["R", "RGB"]]
    page.close()


def test_a_figure_in_less_text_is_the_same_picture(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def paint(axes: Axes) -> None:
        axes.plot([0, 5, 10], [0, 90, 40], linestyle="--")
        axes.plot([0, 10], [80, 10], "o")
        axes.scatter([2, 4, 4.2], [20, 60, 62], [40, 90, 200], edgecolors=PAPER)
        axes.set_ylabel("turned by a quarter")
        axes.annotate("named", (2, 20), (6, 80), arrowprops={"arrowstyle": "-"})

    def seen() -> tuple[Image.Image, int]:
        figure = draw("figure", "lines and points", (300, 240), paint)
        page.set_content(f'<body style="--ink: #222; --faint: #888; --paper: #fff; width: 600px">{figure}')
        return Image.open(BytesIO(page.locator("svg").screenshot())).convert("RGB"), len(figure)

    page = browser.new_page()
    lean, length = seen()
    monkeypatch.setattr(svg, "_lean", lambda body: body)
    whole, most = seen()
    assert len(whole.getcolors(maxcolors=99999) or ()) > 20
    # Where lines of the grid cross, a path of many lines is painted once; a circle has other edges than its curves.
    changed = ImageChops.difference(lean, whole).convert("L").histogram()
    assert sum(changed[40:]) < 10
    assert length < 0.7 * most
    page.close()
