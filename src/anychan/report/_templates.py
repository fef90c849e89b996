"""The templates of the report, with what they are filled through."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape


def templates(autoescape: bool) -> Any:
    """The Jinja2 environment of the report's templates; with ``autoescape`` what is filled in cannot become markup."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("anychan.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"marked": _marked, "formula": _formula}
    return environment


def _marked(text: str) -> Markup:
    """A text of the user's with `code` and *words* as Markdown has them, and minus signs before numbers."""
    parts = re.split(r"`([^`]+)`", text)  # every other one is code
    parts[::2] = [re.sub(r"(?<![\w.,)-])-(?=\d)", "\N{MINUS SIGN}", part) for part in parts[::2]]  # as tables have it
    words = [re.sub(r"(?<![\w*])\*(\w[^*]*)\*(?![\w*])", r"<em>\1</em>", str(escape(part))) for part in parts[::2]]
    code = [f"<code>{escape(part)}</code>" for part in parts[1::2]]
    return Markup("".join(one + other for one, other in zip(words, [*code, ""], strict=True)))


def _formula(text: str) -> Markup:
    """A formula that breaks between its parts, which wide gaps set apart, before it breaks within one.

    Example:
        >>> print(_formula("a < b,     b = 2"))
        <span>a &lt; b,</span>     <span>b = 2</span>
    """
    parts = re.split(r"( {3,}|\n *)", text)  # every other one is a gap
    return Markup("").join(part if i % 2 else Markup("<span>{}</span>").format(part) for i, part in enumerate(parts))
