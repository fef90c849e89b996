"""What stands between the page's server and whoever talks to it.

Gradio's server can do much more than this page needs: keep uploads on disk, hand out files, fetch URLs, proxy, record.
The guard lets through what the page uses and nothing else:

- paths of a list; all others are not found;
- the names of this machine alone in ``Host``, so that no page elsewhere talks to this one through a name of its own;
- requests that this page itself sends, where the browser says in ``Origin`` whose they are;
- bodies of at most ``MOST_BODY_BYTES``, counted as they come, whose ``data`` are texts, numbers, truth values and lists
  of them: a path or URL for Gradio to open would be an object;
- answers that tell the browser to fetch nothing from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from anychan.serve.photograph import MOST_BYTES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = MOST_BYTES * 4 // 3 + 100_000  # a photograph in base64, and what is said of it
HOSTS = ("127.0.0.1", "localhost")

_READ = (
    *("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/gradio_api/theme.css"),
    *("/gradio_api/startup-events", "/gradio_api/queue/data", "/gradio_api/app_id"),
)
_READ_BELOW = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/")
_WRITE = ("/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset")
_POLICY = (
    "default-src 'none'; connect-src 'self'; font-src 'self' data:; img-src 'self' data: blob:; manifest-src 'self'; "
    # Gradio makes functions of templates and writes scripts and styles into its page.
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Guard:
    """An ASGI application around another.

    Args:
        app: what is guarded.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":  # is not spoken; without an answer the server takes it for its own error
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host", "").rpartition(":")[0] not in HOSTS and headers.get("host") not in HOSTS:
            await _refuse(send, 400, "this page is for the machine it runs on")
            return
        if headers.get("origin", f"http://{headers['host']}") != f"http://{headers['host']}":
            await _refuse(send, 403, "this page answers to none but itself")
            return
        if not _is_open(scope["method"], scope["path"]):
            await _refuse(send, 404, "there is nothing here")
            return
        if scope["method"] == "POST":
            body = await _body(receive)
            if body is None:
                await _refuse(send, 413, "too large")
                return
            if not _is_plain(body):
                await _refuse(send, 400, "only texts, numbers and lists of them are taken")
                return
            receive = _replayed(body, receive)
        await self._app(scope, receive, _with_headers(send))


def _is_open(method: str, path: str) -> bool:
    if method in ("GET", "HEAD"):
        return path in _READ or path.startswith(_READ_BELOW)
    return method == "POST" and path in _WRITE


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None as soon as it is too large."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        size += len(message.get("body", b""))
        if size > MOST_BODY_BYTES:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _is_plain(body: bytes) -> bool:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        return False
    data = record.get("data", []) if isinstance(record, dict) else None
    return isinstance(data, list) and all(_is_scalar_or_list(value) for value in data)


def _is_scalar_or_list(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(item, list | dict) for item in value)
    return not isinstance(value, dict)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What was read, to be received again, and after it what else comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            theirs = [pair for pair in message.get("headers", []) if pair[0].decode("latin-1").lower() not in _HEADERS]
            message = {**message, "headers": [*theirs, *ours]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, said: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said.encode()})
