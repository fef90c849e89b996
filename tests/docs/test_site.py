"""The site is built without a warning, no link in it is broken, and nothing in it is fetched from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from anychan.cli import COMMANDS

PROJECT = Path(__file__).parents[2]
FETCHED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
LINKS_THAT_FETCH = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
BUILT_BY = ["mkdocs", "material", "mkdocstrings"]


class _Page(HTMLParser):
    """What a page fetches, where it links to, what can be linked to in it, and the names of its classes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.classes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        self.classes |= set(given.get("class", "").split())
        if tag in FETCHED and FETCHED[tag] in given:
            self.fetched.append(given[FETCHED[tag]])
        if tag == "link" and LINKS_THAT_FETCH & set(given.get("rel", "").split()):
            self.fetched.append(given["href"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [name for name in BUILT_BY if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (extra docs)")
    folder = tmp_path_factory.mktemp("site").resolve()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(PROJECT / "src")}
    built = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, _Page]:
    return {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def _is_elsewhere(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, _Page]) -> None:
    assert len(pages) > 40
    fetched = {path: [url for url in page.fetched if _is_elsewhere(url)] for path, page in pages.items()}
    assert {path: urls for path, urls in fetched.items() if urls} == {}
    # The theme's script would fetch one library, and only for diagrams that are drawn by it.
    assert [path for path, page in pages.items() if "mermaid" in page.classes] == []
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert [text[:80] for text in styles if "url(http" in text or "url(//" in text or "@import" in text] == []


def test_no_link_is_broken(site: Path, pages: dict[Path, _Page]) -> None:
    assert list(_broken(site, pages)) == []


def _broken(site: Path, pages: dict[Path, _Page]) -> Iterator[str]:
    for path, page in pages.items():
        for link in page.links + page.fetched:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":  # whose links are made for a server's root
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].places if target in pages else None
            if not target.is_file() or (parts.fragment and known is not None and unquote(parts.fragment) not in known):
                yield f"{path.relative_to(site)}: {link}"


def test_the_reference_has_what_is_public(site: Path, pages: dict[Path, _Page]) -> None:
    import anychan

    there = pages[site / "reference" / "anychan.html"].places
    assert {f"anychan.{name}" for name in anychan.__all__} <= there
    commands = pages[site / "reference" / "commands.html"].places
    assert {f"anychan-{name}" for name in COMMANDS} <= commands


@pytest.mark.parametrize(
    "package", sorted(path.parent.name for path in (PROJECT / "src/anychan").glob("*/__init__.py"))
)
def test_each_package_has_a_page(package: str) -> None:
    page = PROJECT / "docs" / "reference" / f"{package}.md"
    assert package.startswith("_") or package == "cli" or f"::: anychan.{package}\n" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["theory", "reference"])
def test_each_page_of_a_folder_is_in_its_index(folder: str) -> None:
    index = (PROJECT / "docs" / folder / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (PROJECT / "docs" / folder).glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
