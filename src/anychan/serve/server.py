"""The server of the page: on this machine's own address, and for it alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anychan.models import find_model
from anychan.packaged import list_packaged
from anychan.prediction import Predictor

HOST = "127.0.0.1"


def create_app(models: Sequence[str | Path] = (), *, device: str | None = None) -> Any:
    """The page as an ASGI application, behind its guard.

    Args:
        models: run folders, model files or packaged models' names; none: all packaged models.
        device: where they run; None: cuda where it is there, else cpu.

    Raises:
        FileNotFoundError: if a model is not there.
        ValueError: if there is none, two have one name, or Gradio is not installed.
    """
    predictors = _predictors(models, device)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio and huggingface_hub read these when they are imported
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import fastapi
        import gradio
    except ImportError as error:
        raise ValueError(f"the page needs Gradio: pip install 'anychan[serve]' ({error})") from error

    from anychan.serve.guard import Guard
    from anychan.serve.page import CSS, build_page

    page = build_page(predictors)
    bare = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app = gradio.mount_gradio_app(
        bare,
        page,
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=1,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=CSS,
    )
    return Guard(app)


def serve(models: Sequence[str | Path] = (), port: int = 7860, *, device: str | None = None) -> None:
    """Serve the page on 127.0.0.1 until interrupted.

    Args:
        models, device: as in `create_app`.
        port: 0 takes a free one. The address is printed.

    Raises:
        OSError: if the port is taken.
        FileNotFoundError, ValueError: as in `create_app`.
    """
    with socket.socket() as free:
        _bind(free, port)  # before the models are loaded
        app = create_app(models, device=device)
        import uvicorn

        free.listen()  # whoever reads the address may ask at once
        print(f"http://{HOST}:{free.getsockname()[1]}", flush=True)
        # An open page keeps a connection, which is not to be waited for.
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[free])


def _bind(free: socket.socket, port: int) -> None:
    """Take a port that nobody listens to, also right after another server."""
    # SO_REUSEADDR is for the latter; on Windows it would let two servers listen to one port.
    option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    free.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        free.bind((HOST, port))
    except OSError as error:
        raise OSError(f"port {port} cannot be had ({error.strerror}): --port 0 takes a free one") from error


def _predictors(models: Sequence[str | Path], device: str | None) -> dict[str, Predictor]:
    chosen = list(models) or list(list_packaged())
    if not chosen:
        raise ValueError("no model comes with this version: name a run folder or a model file")
    predictors: dict[str, Predictor] = {}
    for model in chosen:
        name = find_model(model).resolve().name
        if name in predictors:
            raise ValueError(f"two models are called {name!r}: rename the folder of one")
        predictors[name] = Predictor.load(model, device=device)
    return predictors
