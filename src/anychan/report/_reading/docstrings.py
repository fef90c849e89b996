"""What anychan and plug-ins say of their strategies and networks: the docstrings of their modules, read as text.

The report runs no model and imports none, so the files are parsed and not executed.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files

from anychan._plugins import plugin_sources

_STRATEGY, _NETWORK = "register_strategy", "register_model"
# What begins a part of a docstring that is no theory; the first word is its label.
_LABELS = (
    *("Source:", "Assumes", "Cost", "Fails", "Limits:", "Depth:", "Theory", "Shape", "Ours differs", "Ours is"),
    *("Not said there", "What is not said", "Not as there", "As there", "Such exact", "Open:"),
)
_KEPT = {"Assumes": "Assumes", "Fails": "Fails", "Limits:": "Limits", "Depth:": "Depth", "Source:": "Source"}


@dataclass(frozen=True)
class Theory:
    """A module's docstring, taken apart.

    Args:
        module: the module's name, which several networks may share.
        lead: its first paragraph.
        blocks: what follows, ("text" or "formula", words).
        notes: (label, words): what it assumes, where it fails, its depth, its source.
    """

    module: str
    lead: str
    blocks: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...]


@functools.cache
def strategies() -> dict[str, Theory]:
    """The theory of each strategy of ours, by the name it is registered under."""
    return dict(_ours("nn", _STRATEGY))


@functools.cache
def networks() -> dict[str, Theory]:
    """The theory of each network of ours, by the name it is registered under."""
    return dict(_ours("models", _NETWORK))


def strategies_of_plugins() -> dict[str, Theory]:
    """The theory of each strategy that installed packages name (`anychan._plugins`) and say something of."""
    return dict(_of_plugins(_STRATEGY))


def networks_of_plugins() -> dict[str, Theory]:
    """The same of their networks."""
    return dict(_of_plugins(_NETWORK))


def theory(docstring: str, module: str = "") -> Theory:
    """Take a docstring apart: its theory ends with the paragraph that follows the last formula, or with the second.

    Example:
        >>> found = theory("Sliced: a bank.\\n\\n    weight(S) = bank[:, S]\\n\\nSource: [000].\\n\\nDetail.")
        >>> found.lead, found.blocks, found.notes
        ('Sliced: a bank.', (('formula', 'weight(S) = bank[:, S]'),), (('Source', '[000].'),))
    """
    lead, *paragraphs = docstring.strip().split("\n\n")
    blocks: list[tuple[str, str]] = []
    notes: dict[str, str] = {}
    for paragraph in paragraphs:
        for label, words in _parts(paragraph):
            if label in _KEPT:
                notes.setdefault(_KEPT[label], _plain(words))
            elif not label and not notes:  # what comes after the source is detail
                formula = all(line.startswith("    ") for line in words.splitlines())
                blocks.append(("formula", _dedented(words)) if formula else ("text", _plain(words)))
    formulas = [i for i, (kind, _) in enumerate(blocks) if kind == "formula"]
    kept = blocks[: formulas[-1] + 2] if formulas else blocks[:1]
    order = {label: i for i, label in enumerate(_KEPT.values())}
    return Theory(module, _plain(lead), tuple(kept), tuple(sorted(notes.items(), key=lambda n: order[n[0]])))


def _ours(package: str, decorator: str) -> Iterator[tuple[str, Theory]]:
    for path in sorted(files("anychan").joinpath(package).iterdir(), key=lambda path: path.name):
        if not path.name.endswith(".py") or path.name.startswith("_"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, _ in _registered(tree, decorator):
            yield name, theory(ast.get_docstring(tree) or "", path.name.removesuffix(".py"))


def _of_plugins(decorator: str) -> Iterator[tuple[str, Theory]]:
    """Those of each module; where it registers several, each is told by its own docstring first."""
    for module, source in plugin_sources():
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        several = sum(1 for kind in (_STRATEGY, _NETWORK) for _ in _registered(tree, kind)) > 1
        of_file = ast.get_docstring(tree)
        for name, node in _registered(tree, decorator):
            own = ast.get_docstring(node)
            if words := (own or of_file if several else of_file or own):
                found = theory(words, module)
                yield name, replace(found, notes=(*found.notes, ("Module", module)))


def _registered(tree: ast.Module, decorator: str) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (name := _name(node, decorator)):
            yield name, node


def _name(node: ast.ClassDef | ast.FunctionDef, decorator: str) -> str:
    """The name that a class or function is registered under, "" where it is not."""
    for found in node.decorator_list:
        called = found.func if isinstance(found, ast.Call) else found
        if decorator != (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")):
            continue
        if not isinstance(found, ast.Call):
            return node.name
        given = [*found.args, *(keyword.value for keyword in found.keywords)]
        return str(given[0].value) if given and isinstance(given[0], ast.Constant) else ""
    return ""


def _parts(paragraph: str) -> Iterator[tuple[str, str]]:
    """A paragraph cut before each line that begins with a label: (label, words), the label "" for plain text."""
    label, lines = "", list[str]()
    for line in paragraph.splitlines():
        found = next((known for known in _LABELS if line.startswith(known)), "")
        if found:
            if lines:
                yield label, "\n".join(lines)
            label, lines = found, [line.removeprefix(found).strip()]
        else:
            lines.append(line)
    yield label, "\n".join(lines)


def _plain(words: str) -> str:
    """Words without marks for code and emphasis, and without what points to another document."""
    words = re.sub(r"`+", "", " ".join(words.split()))
    return re.sub(r" ?Theory, cost and limits: \S+|\*(\w+)\*", r"\1", words)


def _dedented(words: str) -> str:
    return "\n".join(line[4:].rstrip() for line in words.splitlines())
