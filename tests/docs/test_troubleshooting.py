"""Every message that the troubleshooting page quotes is one that the source can say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "guide" / "troubleshooting.md"


def _quoted() -> list[str]:
    """The headings that are nothing but code."""
    inline = [token for token in MarkdownIt().parse(PAGE.read_text(encoding="utf-8")) if token.type == "inline"]
    only = [token.children[0] for token in inline if token.children and len(token.children) == 1]
    return [child.content for child in only if child.type == "code_inline"]


def _said() -> Iterator[str]:
    """Every text in the source that is no docstring, with … for what is put into it."""
    for path in (PROJECT / "src").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield node.value


@pytest.fixture(scope="module")
def said() -> list[str]:
    return list(_said())


def test_there_is_something_to_look_up() -> None:
    assert len(_quoted()) >= 25
    assert len(set(_quoted())) == len(_quoted())


@pytest.mark.parametrize("message", _quoted())
def test_the_source_says_it(message: str, said: list[str]) -> None:
    assert any(message in text for text in said), f"no message of the source reads {message!r}"
