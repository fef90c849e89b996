"""The report as Markdown: the page's sections and tables, its charts as SVG files beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from anychan._files import replacing
from anychan.report._charts.runs import FILL_SIGNS
from anychan.report._charts.svg import MARKS, said_in, standalone
from anychan.report._tables.markdown import begun, escape, markdown

FIGURES = "-figures"
_FIGURE = re.compile(r"\d{2,}-.+\.svg")  # what the files written here are called
_BEGINS = b'<svg class="plot" '  # and how they begin
_EMPHASISED = re.compile(r"(?<!\w)\\\*(\w.*?)\\\*(?!\w)")  # of escaped text


def write_document(page: Mapping[str, Any], out: Path) -> Path:
    """Write what the page shows as Markdown, and its charts into a folder beside it.

    Charts of an earlier report ("00-retention.svg") are removed from the folder; other files in it stay.

    Args:
        page: what the page's template is filled with.
        out: the file, whose name ends in ``.md``.

    Raises:
        FileExistsError: if the folder is a file, or a chart would take the place of a file that is none of anychan's.
    """
    from anychan.report._templates import templates

    figures: dict[str, str] = {}
    folder = out.with_name(out.stem + FIGURES)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, where the charts' folder should be; choose another name than {out}")

    def figure(chart: Markup, name: str) -> str:
        """A chart's place in the text; its file is written with the others."""
        file = f"{len(figures):02}-{name}.svg"
        figures[file] = standalone(chart)
        return f"![{escape(said_in(chart))}]({quote(f'{folder.name}/{file}')})"

    environment = templates(autoescape=False)
    environment.filters |= {"table": markdown, "words": escape, "marked": _marked, "figure": figure, "fenced": fenced}
    environment.filters |= {"mark": MARKS.__getitem__, "sign": lambda fill: FILL_SIGNS.get(fill, "·")}
    environment.filters["anchor"] = _anchor
    text = environment.get_template("document.md.j2").render(page)
    if others := [path for file in figures if (path := folder / file).exists() and not _is_ours(path)]:
        raise FileExistsError(f"{others[0]} is there and is no chart of anychan's; choose another name than {out}")
    with replacing(out) as temporary:  # makes the folder above
        temporary.write_text(_single_blank_lines(text), encoding="utf-8")
    folder.mkdir(exist_ok=True)
    for earlier in list(filter(_is_ours, folder.iterdir())):
        earlier.unlink()
    for file, svg in figures.items():
        (folder / file).write_text(svg, encoding="utf-8")
    return out


def _is_ours(path: Path) -> bool:
    """Whether a file is a chart of an earlier report, by its name and by how it begins."""
    if not _FIGURE.fullmatch(path.name) or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGINS)) == _BEGINS


def _anchor(heading: str) -> str:
    """What a link to a heading of a Markdown page names.

    Example:
        >>> _anchor("Errors: which classes, and how sure")
        'errors-which-classes-and-how-sure'
    """
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _marked(text: str) -> str:
    """A text of the user's in which `code` and *words* stay markup, and nothing else becomes any."""
    parts = re.split(r"(`[^`]+`)", text)  # every other one is code
    parts[::2] = [_EMPHASISED.sub(r"*\1*", escape(f"|{part}|")[2:-2]) for part in parts[::2]]
    parts[0] = begun(parts[0])
    return "".join(parts)


def fenced(text: str) -> str:
    """Text in a block of code that it cannot leave.

    Example:
        >>> print(fenced("a\\n```b"))
        ````text
        a
        ```b
        ````
    """
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def _single_blank_lines(text: str) -> str:
    """One blank line where the template leaves several, but for what stands in blocks of code."""
    lines: list[str] = []
    fence = ""
    for line in text.splitlines():
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line.removesuffix("text")
        elif not line.strip() and (not lines or not lines[-1].strip()):
            continue
        lines.append(line.rstrip())
    return "\n".join(lines).strip() + "\n"
