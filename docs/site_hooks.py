"""What MkDocs is told beyond mkdocs.yml: which pages a folder has, and the help of every command.

MkDocs calls each function by its name, see its page "Hooks".
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

COMMANDS_PAGE = "reference/commands.md"
_COLUMNS = 100  # of the help, whatever terminal the site is built in


def on_config(config: Any) -> Any:
    """Replace each "folder/" in the navigation by the folder's pages, but for those named before it."""
    config.nav = _with_pages(config.nav, Path(config.docs_dir), set())
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Add the commands' help to the page that is for it."""
    return markdown + command_help() if page.file.src_uri == COMMANDS_PAGE else markdown


def command_help() -> str:
    """A section for each command of the command line, with what it prints when asked for ``--help``."""
    from anychan.cli import COMMANDS

    sections = [f"\n## anychan\n\n{_help([])}"]
    sections += [f"\n## anychan {name}\n\n{_help([name])}" for name in COMMANDS]
    return "".join(sections)


def _help(words: list[str]) -> str:
    from anychan.cli import main

    before, said = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = str(_COLUMNS)
    try:
        with contextlib.redirect_stdout(said):
            main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return f"```text\n{said.getvalue().rstrip()}\n```\n"


def _with_pages(entries: Any, docs: Path, named: set[str]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            found += [
                {title: _with_pages(value, docs, named) if isinstance(value, list) else value}
                for title, value in entry.items()
            ]
        elif entry.endswith("/"):
            # The folder's README is its index, and comes first.
            paths = sorted((docs / entry).glob("*.md"), key=lambda path: (path.name != "README.md", path.name))
            pages = {path.relative_to(docs).as_posix(): _short_title(path) for path in paths}
            found += [{title: page} if title else page for page, title in pages.items() if page not in named]
        else:
            found.append(entry)
            named.add(entry)
    return found


def _short_title(page: Path) -> str:
    """What stands before the colon in a page's heading; "" for an index and for a heading without one."""
    heading = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    return heading.partition(":")[0] if ":" in heading and page.name != "README.md" else ""
