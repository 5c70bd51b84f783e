"""The instructions by which a request tells the stand-in how to answer it.

They come in the request header `X-Mock-Gateway`, or as the model (or BYOC capability, or live pipeline) name
`mock/<instructions>` for clients that cannot set headers; comma-separated, the model's read last. Each header
`X-Mock-Gateway-Header: Name: value` adds a field to the answer.

    X-Mock-Gateway: status=503,delay=0.5          {"model_id": "mock/drop", ...}

Before the answer, in this order
    early             do all of the following before the request body is read (else after)
    delay=SECONDS     wait
    hold=NAME         wait until NAME is released; hold-at=K: after the head and K chunks of the answer instead
    stall             as hold, but never released; hold-at=K applies
    drop              close the connection without an answer        (a panicking handler)
    reset             the same by a TCP reset
    crash             every connection drops; see `MockGateway(crash=True)`
    raw=BASE64URL     these exact bytes are the answer, in `chunks` pieces; then the connection closes
    empty             200 without a body
    status=CODE       that error, shaped as the route shapes its errors; with echo or bytes: their status
Instead of the route's answer, on any path and method
    echo              the request body, chunk by chunk as it arrives, framed as the request was; a large one needs
                      a client that reads while it sends
    bytes=N           N bytes of `media.pattern`
During the answer
    chunks=K          in K pieces                                   chunk-delay=SECONDS  between them
    chunked           without Content-Length                        length=N  with this one, which must be true
    drop-after-bytes=N  close the connection after N bytes of body
    close             `Connection: close`                           hangup    close unannounced when complete
Per route
    tokens=N zero-usage no-finish    llm: tokens made; usage all zeros; stream ends without finish_reason
    images=N                         images in the answer, whatever was asked for
    renditions=N rendition-bytes=N   segment push: parts in the answer and their size
    sse flood no-funds               BYOC: answer a stream; never end it; let it run out of money
    no-orchestrators                 none found, as each route behaves then
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self

MODEL_PREFIX = "mock/"


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

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> Self:
        """The behaviour a comma-separated instruction list asks for.

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
    """The instruction list inside a model name, empty when it carries none."""
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
    "renditions": ("renditions", _count),
    "rendition-bytes": ("rendition_bytes", _count),
}
