"""The code blocks of the documentation, and what makes their commands quick.

A block that is not run has a comment before it: ``<!-- not run: why -->``, or ``<!-- parsed only: why -->`` where the
words of its commands are read all the same. A YAML block with a title is written to a file of that name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from anychan.data.synthetic import SyntheticSpec

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
MARK = re.compile(r"<!-- (not run|parsed only): (.*?) *-->")
_TITLE = re.compile(r'title="(.+?)"')

FEW = {"train": 64, "val": 16, "test": 32, "size": 16}
PHOTOGRAPHS = "synthetic:bands=3,classes=4"  # in the place of a reader's own images
# Said after a command's own words, so that they are what counts.
SMALL = {
    "adapt": ["--images", "8"],
    "evaluate": ["--no-cost"],
    "profile": ["--image-size", "16", "--batch-size", "2"],
    "train": [
        *("--model", "wide4", "--model-options.width", "3", "--image-size", "16"),
        *("--epochs", "1", "--normalisation.images", "8"),
    ],
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line's number in the page, and what its mark says of it, if it has one."""

    language: str
    title: str
    code: str
    line: int
    mark: str
    reason: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    nothing = Token("", "", 0)
    for before, token in pairwise([nothing, *MarkdownIt().parse(text)]):
        if token.type == "fence":
            marked = MARK.fullmatch(before.content.strip()) if before.type == "html_block" else None
            mark, reason = marked.groups() if marked else ("", "")
            title = _TITLE.search(token.info)
            language = token.info.split(" ")[0]
            yield Block(language, title[1] if title else "", token.content, (token.map or [0])[0] + 1, mark, reason)


def commands(code: str) -> list[list[str]]:
    """The words of each line, comments left out and continued lines joined."""
    lines = (shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines())
    return [words for words in lines if words]


def made_by(code: str) -> set[str]:
    """The folders that a block's commands make."""
    return {after for words in commands(code) for before, after in pairwise(words) if before == "--out"}


def small(words: list[str]) -> list[str]:
    """A command's words with few images and a small network, a reader's images replaced by built-in ones."""
    few = [_few(PHOTOGRAPHS if word.endswith(".zip") else word) for word in words]
    return [*few, *SMALL.get(words[0], [])]


def _few(word: str) -> str:
    return str(replace(SyntheticSpec.parse(word), **FEW)) if word.partition(":")[0] == "synthetic" else word
