"""Docstrings as the site shows them: an "Example:" is code, and so is a doctest anywhere else."""

from __future__ import annotations

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"(?:^>>> .*\n(?:.+\n)*)+", flags=re.MULTILINE)


class ShownExamples(griffe.Extension):
    """Griffe knows the section "Examples:", where Google's style and this project write "Example:" for one."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
        obj.docstring.value = _DOCTEST.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text + "\n").rstrip()

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        self.on_object(obj=pkg)  # which griffe calls for all but this one
