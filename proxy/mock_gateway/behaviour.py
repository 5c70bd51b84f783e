"""The instructions by which a request chooses the mock gateway's behaviour.

They come in the request header `X-Mock-Gateway`, or as the model (or BYOC capability, or live pipeline) name
`mock/<instructions>` for clients that cannot set headers; comma-separated, the model's read last. Each header
`X-Mock-Gateway-Header: Name: value` adds a header to the response.

    X-Mock-Gateway: status=503,delay=0.5          {"model_id": "mock/drop", ...}

Before the response, in this order
    early             do all of the following before the request body is read (else after)
    delay=SECONDS     wait
    hold=NAME         wait until NAME is released; hold-at=K: after the head and K chunks of the response instead
    stall             as hold, but never released; hold-at=K applies
    drop              close the connection without a response       (a panicking handler)
    reset             the same by a TCP reset
    crash             every connection drops; see `MockGateway(crash=True)`
    raw=BASE64URL     these exact bytes are the response, in `chunks` pieces; then the connection closes
    empty             200 without a body
    status=CODE       that error, shaped as the route shapes its errors; with echo or bytes: their status
Instead of the route's response, on any path and method
    echo              the request body, chunk by chunk as it arrives, framed as the request was; a large one needs
                      a client that reads while it sends
    bytes=N           N bytes of `media.pattern`
During the response
    chunks=K          in K pieces                                   chunk-delay=SECONDS  between them
    chunked           without Content-Length                        length=N  with this one, which must be true
    drop-after-bytes=N  close the connection after N bytes of body
    close             `Connection: close`                           hangup    close unannounced when complete
Per route
    no-orchestrators                 none found (the model is unknown), as each route behaves then
    runner-error                     batch AI: the runner fails at each of 20 tries; BYOC: every orchestrator fails
    fail-after=K                     llm: the runner fails after K events of a stream, which crashes the gateway
    tokens=N zero-usage no-finish    llm: tokens made; usage all zeros; stream ends without finish_reason
    images=N                         images in the response, whatever the request says
    renditions=N rendition-bytes=N   segment push: parts in the response and their size
    source=WxH                       segment push: the source's size, so that parts hold video of their own sizes
    sse flood no-funds               BYOC: respond with a stream; never end it; let it run out of money
    silent                           BYOC stream start: a worker that publishes no events, so that the stream ends
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self

MODEL_PREFIX = "mock/"
MAX_SIDE = 16_384
"""Pixels on a side of any picture here."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Parsed instructions; the module's docstring describes each. Times in seconds, sizes in bytes."""

    early: bool = False
    delay: float = 0.0
    hold: str | None = None
    hold_at: int | None = None
    stall: bool = False
    drop: bool = False
    reset: bool = False
    crash: bool = False
    raw: bytes | None = None
    empty: bool = False
    status: int | None = None
    echo: bool = False
    size: int | None = None
    chunks: int = 1
    chunk_delay: float = 0.0
    chunked: bool = False
    length: int | None = None
    drop_after_bytes: int | None = None
    close: bool = False
    hangup: bool = False
    tokens: int = 8
    zero_usage: bool = False
    no_finish: bool = False
    images: int | None = None
    renditions: int | None = None
    rendition_bytes: int = 4 * 188
    sse: bool = False
    flood: bool = False
    no_funds: bool = False
    no_orchestrators: bool = False
    runner_error: bool = False
    fail_after: int | None = None
    source: tuple[int, int] | None = None
    silent: bool = False

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> Self:
        """Read a comma-separated instruction list.

        Raises ValueError naming the first instruction that is unknown or has a bad value.
        """
        values: dict[str, Any] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, sep, value = item.partition("=")
            try:
                if name in _FLAGS and not sep:
                    values[_FLAGS[name]] = True
                else:
                    field, read = _VALUES[name]
                    values[field] = read(value)
            except (KeyError, ValueError) as error:
                raise ValueError(f"X-Mock-Gateway: cannot read {item!r}") from error
        return cls(**values)


def in_model(model: str) -> str:
    """Return the instruction list inside a model name, empty when it carries none."""
    return model.removeprefix(MODEL_PREFIX) if model.startswith(MODEL_PREFIX) else ""


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def _pieces(text: str) -> int:
    return max(1, _count(text))


def _status(text: str) -> int:
    code = _count(text)
    if not 200 <= code <= 599:
        raise ValueError(text)
    return code


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise ValueError(text)
    return seconds


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not 0 < _count(width) <= MAX_SIDE or not 0 < _count(height) <= MAX_SIDE:
        raise ValueError(text)
    return int(width), int(height)


def _name(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _base64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


_FLAGS: dict[str, str] = {
    field.name.replace("_", "-"): field.name for field in fields(Behaviour) if field.default is False
}
_VALUES: dict[str, tuple[str, Callable[[str], object]]] = {
    "delay": ("delay", _seconds),
    "hold": ("hold", _name),
    "hold-at": ("hold_at", _count),
    "raw": ("raw", _base64url),
    "status": ("status", _status),
    "bytes": ("size", _count),
    "chunks": ("chunks", _pieces),
    "chunk-delay": ("chunk_delay", _seconds),
    "length": ("length", _count),
    "drop-after-bytes": ("drop_after_bytes", _count),
    "tokens": ("tokens", _count),
    "images": ("images", _count),
    "fail-after": ("fail_after", _count),
    "source": ("source", _size),
    "renditions": ("renditions", _count),
    "rendition-bytes": ("rendition_bytes", _count),
}
