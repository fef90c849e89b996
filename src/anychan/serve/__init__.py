"""A page to try models on: ``anychan serve``, extra ``serve``.

It runs on this machine for this machine alone, in Gradio, behind a guard of our own (`anychan.serve.guard`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anychan._lazy import lazily

if TYPE_CHECKING:
    from anychan.serve.server import create_app, serve

_PUBLIC = {"create_app": "anychan.serve.server", "serve": "anychan.serve.server"}
__all__ = ["create_app", "serve"]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
