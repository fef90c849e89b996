"""Strategies and networks of other packages: what these name under the entry points ``anychan.plugins``.

A package says in its ``pyproject.toml`` which of its modules register them:

    [project.entry-points."anychan.plugins"]
    mine = "my_package.strategies"

Such a module is imported when a strategy or network is asked for that is not one of ours, or when all are listed. One
that cannot be imported takes nothing else away: it is told with a name that is not known, and beside lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.abc import InspectLoader
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from importlib.util import find_spec
from threading import RLock

GROUP = "anychan.plugins"
_loaded: dict[tuple[str, str], str] = {}  # by name and module: that it cannot be imported, "" where it was
_one_loads = RLock()  # again within itself: a plug-in asks for strategies


def load_plugins() -> list[str]:
    """Import the modules that installed packages name, each once.

    Returns:
        Of each that cannot be imported a sentence, which names it, its package and the error. The others are there.
    """
    with _one_loads:
        for point in _points():
            key = (point.name, point.value)
            if key not in _loaded:
                _loaded[key] = ""
                try:
                    point.load()
                except Exception as error:  # whatever another's module raises
                    reason = f"{type(error).__name__}: {error}"
                    _loaded[key] = f"the plug-in {point.value} of {_package(point)} cannot be imported: {reason}"
        return [said for said in _loaded.values() if said]


def plugin_versions() -> Iterator[tuple[str, str]]:
    """Name and version of each package that has plug-ins, for records of what was run."""
    for point in _points():
        if point.dist is not None:
            yield point.dist.name, point.dist.version


def plugin_sources() -> Iterator[tuple[str, str]]:
    """Name and source of each module that installed packages name; nothing is imported, nor a package around it.

    One that is not there or has no source is left out.
    """
    for module in dict.fromkeys(point.module for point in _points()):
        try:
            if source := _source(module):
                yield module, source
        except (ImportError, ValueError):  # no such file, or one that is no text
            continue


def _source(module: str) -> str | None:
    package, *inner = module.split(".")
    spec = find_spec(package)
    for name in inner:
        spec = spec and PathFinder.find_spec(f"{spec.name}.{name}", spec.submodule_search_locations or [])
    return spec.loader.get_source(module) if spec and isinstance(spec.loader, InspectLoader) else None


@cache
def _points() -> EntryPoints:
    return entry_points(group=GROUP)  # which reads a file of each package that is installed


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else point.dist.name
