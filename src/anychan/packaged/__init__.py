"""The trained models that come with the package: a folder each, beside this file.

Each holds ``model.safetensors``, ``model.json`` and its card ``README.md``, as ``PretrainedModel.save_pretrained``
writes them, and weighs at most ``MOST_BYTES``. A model is added by adding its folder.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
MOST_BYTES = 10_000_000  # of all files of one model


def list_packaged() -> list[str]:
    """Names of the packaged models, sorted.

    Example:
        >>> set(list_packaged()) <= {path.name for path in FOLDER.iterdir()}
        True
    """
    return sorted(path.parent.name for path in FOLDER.glob("*/model.json"))


def packaged_folder(name: str) -> Path:
    """The folder of a packaged model.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in list_packaged():
        raise ValueError(f"no packaged model {name!r}; there are {', '.join(list_packaged()) or 'none'}")
    return FOLDER / name
