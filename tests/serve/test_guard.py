"""What the page's server refuses, asked of the application itself; no port is opened."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from anychan.serve import guard
from anychan.serve.guard import Guard


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive()).get("body", b"") if scope["method"] == "POST" else b"hello"
    headers = [(b"content-type", b"text/plain"), (b"Cache-Control", b"public")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _ask(
    path: str, method: str = "GET", body: bytes = b"", host: str = "127.0.0.1:7860", parts: int = 1, **headers: str
):
    """Status, headers and body of an answer to a request whose body comes in parts."""
    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", host.encode())]}
    scope["headers"] += [(name.encode(), value.encode()) for name, value in headers.items()]
    size = max(-(-len(body) // parts), 1)
    chunks = [body[i * size : (i + 1) * size] for i in range(parts)]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(_echo)(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize(
    "path", ["/", "/config", "/assets/index.js", "/gradio_api/queue/data", "/gradio_api/heartbeat/a"]
)
def test_what_the_page_needs_is_let_through_with_headers_that_keep_it_here(path):
    status, headers, body = _ask(path)
    assert (status, body) == (200, b"hello")
    assert b"connect-src 'self'" in headers[b"content-security-policy"]
    assert b"default-src 'none'" in headers[b"content-security-policy"]
    assert headers[b"cache-control"] == b"no-store"
    assert b"Cache-Control" not in headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("GET", "/gradio_api/proxy=https://huggingface.co/"),
        ("GET", "/gradio_api/info"),
        ("POST", "/gradio_api/run/show"),
        ("POST", "/gradio_api/call/show"),
        ("GET", "/gradio_api/deep_link"),
        ("POST", "/"),
        ("PUT", "/config"),
        ("GET", "/monitoring"),
        ("GET", "/runs"),
    ],
)
def test_all_else_is_not_there(method, path):
    status, headers, body = _ask(path, method, b"{}")
    assert (status, body) == (404, b"there is nothing here")
    assert b"content-security-policy" in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example:7860", "", "0.0.0.0:7860"]
)
def test_a_page_elsewhere_cannot_borrow_a_name(host):
    assert _ask("/", host=host)[0] == 400
    assert _ask("/", host="localhost:7860")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:7860", "http://127.0.0.1:1"])
def test_another_page_in_the_same_browser_is_refused(origin):
    for method, path in (("POST", "/gradio_api/queue/join"), ("GET", "/")):
        assert _ask(path, method, _body([]), origin=origin)[0] == 403
        assert _ask(path, method, _body([]), origin="http://127.0.0.1:7860")[0] == 200


def _body(data: Any) -> bytes:
    return json.dumps({"data": data, "session_hash": "a", "event_data": None}).encode()


@pytest.mark.parametrize("data", [[None, "any", ["R", "G"], True, 0.5], [], ["aGVsbG8="]])
def test_texts_and_lists_of_them_reach_the_page_as_they_were(data):
    for parts in (1, 3):
        status, _, body = _ask("/gradio_api/queue/join", "POST", _body(data), parts=parts)
        assert (status, body) == (200, _body(data))


@pytest.mark.parametrize(
    "body",
    [
        _body([{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]),
        _body([{"path": "http://169.254.169.254/", "url": "http://169.254.169.254/"}]),
        _body([["R", {"path": "/etc/passwd"}]]),
        _body([[["R"]]]),
        _body({"path": "/etc/passwd"}),
        b"[]",
        b"not JSON",
        b"[" * 100_000,
    ],
)
def test_a_path_or_url_is_refused_and_not_repeated(body):
    status, _, said = _ask("/gradio_api/queue/join", "POST", body)
    assert (status, said) == (400, b"only texts, numbers and lists of them are taken")


def test_a_body_is_counted_as_it_comes(monkeypatch):
    monkeypatch.setattr(guard, "MOST_BODY_BYTES", len(_body(["x"])))
    assert _ask("/gradio_api/queue/join", "POST", _body(["x"]), parts=2)[0] == 200
    assert _ask("/gradio_api/queue/join", "POST", _body(["xx"]), parts=2)[0] == 413


def test_a_web_socket_is_closed():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(_echo)({"type": "websocket", "path": "/", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
