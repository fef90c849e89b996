"""The page in a real browser, as large as a phone: photographs, channels, models, and nothing from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from anychan.prediction import Predictor

from ..prediction._runs import photograph

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WAIT = 60_000  # milliseconds; a busy machine is slow


@pytest.fixture(scope="module")
def address(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where ``anychan serve`` says that it is, with all that it might write kept in a folder."""
    pytest.importorskip("gradio", reason="gradio (extra serve) is not installed")
    _browser_program()
    folder = tmp_path_factory.mktemp("temporary")
    command = [sys.executable, "-m", "anychan", "serve", *map(str, runs), "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()
    left = [path.name for path in folder.rglob("*") if path.is_file()]
    assert left == [], "something of a photograph was kept in a file"


def _browser_program() -> str:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(_NAMES)} is installed")
    return program


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = _browser_program()
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=program, headless=True, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page on a phone; in the end it must have complained of nothing, fit, and have asked no one else."""
    opened = browser.new_page(viewport={"width": 375, "height": 800})
    opened.set_default_timeout(_WAIT)
    complaints: list[str] = []
    requests: list[str] = []
    opened.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(address)
    opened.locator("#drop input").wait_for(state="attached")
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth") == 375
    assert complaints == []
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    opened.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(photograph(5))
    return tmp_path / "photo.png"


def _shown(page: Any, channels: str) -> list[tuple[int, float]]:
    """Labels and probabilities, once the page answers for these channels."""
    page.locator(f".likely[data-channels='{channels}']").wait_for()
    rows = page.locator(".likely li").evaluate_all("all => all.map(e => [e.dataset.label, e.dataset.probability])")
    return [(int(label), float(share)) for label, share in rows]


def _switch(page: Any, channel: str) -> None:
    page.locator("#channels").get_by_label(channel, exact=True).click()


def test_a_photograph_is_answered_as_predict_answers_it(page: Any, runs: tuple[Path, Path], photo: Path) -> None:
    predictor = Predictor.load(runs[0], device="cpu")
    page.locator("#drop input").set_input_files(photo)
    steps = (("RGB", ""), ("RG", "B"), ("R", "G"), ("RB", "B"), ("B", "R"), ("GB", "G"), ("G", "B"))
    seen = {}
    for channels, toggled in steps:
        if toggled:
            _switch(page, toggled)
        seen[channels] = _shown(page, channels)
        expected = next(predictor.predict([photo], channels))
        assert [label for label, _ in seen[channels]] == list(expected.labels)
        assert [share for _, share in seen[channels]] == pytest.approx(expected.probabilities, abs=1e-6)
    assert len({json.dumps(answer) for answer in seen.values()}) == 7
    assert page.locator(".subsets article").count() == 7
    assert page.locator(".subsets article.current").get_attribute("data-channels") == "G"
    _switch(page, "G")
    page.locator("#answer [role=status]", has_text="Switch on one channel").wait_for()


def test_what_is_touched_while_an_answer_is_awaited_counts(page: Any, photo: Path) -> None:
    page.locator("#drop input").set_input_files(photo)
    _shown(page, "RGB")
    boxes = "[...document.querySelectorAll('#channels input')]"
    clicks = f"for (const box of {boxes}.slice(1)) {{ box.click(); await new Promise(done => setTimeout(done, 20)) }}"
    page.evaluate(f"async () => {{ {clicks} }}")  # off go G and B, one soon after the other
    _shown(page, "R")
    assert page.evaluate(f"{boxes}.map(box => box.checked)") == [True, False, False]


def test_maps_and_another_model_are_shown_on_request(page: Any, photo: Path) -> None:
    page.locator("#drop input").set_input_files(photo)
    _shown(page, "RGB")
    before = page.locator(".seen img").first.get_attribute("src")
    page.locator("#maps").get_by_role("checkbox").click()
    page.wait_for_function("before => document.querySelector('.seen img').src !== before", arg=before)
    page.locator("#model input").click()
    page.get_by_role("option", name="plain").click()
    page.locator(".subsets p", has_text="all its channels together").wait_for()
    assert page.locator(".subsets article").count() == 1
    _switch(page, "R")
    page.locator("#answer [role=status]", has_text="a plain model takes all of RGB").wait_for()


def test_what_is_no_photograph_is_said_without_a_path(page: Any, tmp_path: Path) -> None:
    (tmp_path / "secret-name.png").write_bytes(b"no image")
    page.locator("#drop input").set_input_files(tmp_path / "secret-name.png")
    page.locator("#answer [role=status]", has_text="is no image of a known format").wait_for()
    assert "secret-name" not in page.content()
    (tmp_path / "large.png").write_bytes(bytes(20_000_001))
    page.locator("#drop input").set_input_files(tmp_path / "large.png")
    page.locator(".drop-said", has_text="more than 20 MB").wait_for()


@pytest.mark.skipif(find_spec("skimage") is None, reason="scikit-image, which has the example, is not installed")
def test_the_example_is_taken(page: Any) -> None:
    page.locator("#example").click()
    assert len(_shown(page, "RGB")) == 5
