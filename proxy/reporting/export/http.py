"""Receivers over HTTP, and the sink for any of them: each batch is one POST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from proxy.reporting.export.formats import EventFormat, ReceiverNames
from proxy.reporting.export.headers import BadHeader
from proxy.reporting.export.sinks import Poisoned, Refused, TryLater
from proxy.reporting.stream import RecordedEvent

_BUSY = frozenset({408, 425, 429})
_POISON = frozenset({400, 406, 409, 413, 415, 422})
"""Statuses about a body. Any other 4xx is about the address or the credentials, hence about every event."""

_ALWAYS = {"User-Agent": "tollgate", "Accept-Encoding": "identity"}
_MOST_BODY = 8_192
_SHOWN = 300
_LONGEST_WAIT = 3_600.0


@dataclass(frozen=True, slots=True)
class ReceiverResponse:
    """What a receiver sent back."""

    status: int
    body: bytes
    """Its beginning."""
    after: float | None
    """Seconds of `Retry-After`."""


class HttpReceiver:
    """A receiver at one address. Redirects are not followed, so that credentials go nowhere else."""

    def __init__(self, url: str, path: str, headers: Callable[[], dict[str, str]], timeout: float) -> None:
        """Open the client. An address without a path gets `path`, the receiver's own.

        `headers` is called before each request, as credentials may change; `timeout` is in seconds. Raises `Refused`
        for an invalid address.
        """
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise Refused(f"that is no address: {error}") from None
        if path and self._url.path in ("", "/"):
            self._url = self._url.copy_with(path=path)
        self._headers = headers
        self._timeout = timeout
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, headers=_ALWAYS)
        self.name = _origin(url)

    async def post(self, content_type: str, body: bytes) -> ReceiverResponse:
        """Send one request. Raises `TryLater` where there is no response."""
        try:
            headers = httpx.Headers(self._headers())
            headers.setdefault("Content-Type", content_type)
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream("POST", self._url, headers=headers, content=body) as response,
            ):
                after = retry_after(response.headers.get("Retry-After"))
                return ReceiverResponse(response.status_code, await _beginning(response), after)
        except (httpx.TimeoutException, TimeoutError):
            raise TryLater(f"{self.name} sent no response within {self._timeout:g} seconds") from None
        except httpx.HTTPError as error:
            raise TryLater(f"{self.name}: {str(error) or type(error).__name__}") from None
        except BadHeader as error:  # the file may be about to be replaced
            raise TryLater(str(error)) from None

    def reason(self, response: ReceiverResponse) -> str:
        """Return one line about a refusal."""
        return f"{self.name} responded {response.status}: {_legible(response.body)}"

    def judge(self, response: ReceiverResponse) -> None:
        """Return after a 2xx. Raises `TryLater`, `Poisoned` (a status about the body) or `Refused`."""
        status = response.status
        if 200 <= status < 300:
            return
        if status >= 500 or status in _BUSY:
            raise TryLater(self.reason(response), response.after, fault=status >= 500)
        if status in _POISON:
            raise Poisoned(self.reason(response))
        raise Refused(self.reason(response))

    async def close(self) -> None:
        await self._client.aclose()


class HttpSink:
    """Sends each batch as one POST in one format."""

    path = ""
    """Path of the receiver's own interface, for addresses without one."""

    def __init__(
        self, url: str, form: EventFormat, names: ReceiverNames, headers: Callable[[], dict[str, str]], timeout: float
    ) -> None:
        """As `HttpReceiver`."""
        self._form = form
        self._names = names
        self._receiver = HttpReceiver(url, self.path, headers, timeout)

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        if selected := self._form.select(batch):
            response = await self._receiver.post(self._form.content_type, self._form.body(selected, self._names))
            if not (len(selected) == 1 and self._form.known(response.status, response.body)):
                self._receiver.judge(response)

    async def close(self) -> None:
        await self._receiver.close()


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, a number or a date (RFC 9110 section 10.2.3); at most an hour."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), _LONGEST_WAIT)


async def _beginning(response: httpx.Response) -> bytes:
    """Return the beginning of the response's body."""
    found = b""
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) >= _MOST_BODY:
            break
    return found[:_MOST_BODY]


def _legible(body: bytes) -> str:
    """Return the beginning of a body as one printable line."""
    text = body[:_SHOWN].decode(errors="replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split()) or "(no body)"


def _origin(url: str) -> str:
    """Return scheme, host and port of an address: anything else of it may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
