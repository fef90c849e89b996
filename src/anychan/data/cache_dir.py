"""Where what was computed of data is kept."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """The folder ``$ANYCHAN_CACHE`` if that is set, else anychan's folder in the user's cache."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("ANYCHAN_CACHE")
    return Path(chosen) if chosen else user_cache_path("anychan")
