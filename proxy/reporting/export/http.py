"""A sink over HTTP: each batch is one POST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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


class HttpSink:
    """Sends batches to one address. Redirects are not followed, so that credentials go nowhere else."""

    def __init__(
        self, url: str, form: EventFormat, names: ReceiverNames, headers: Callable[[], dict[str, str]], timeout: float
    ) -> None:
        """Open the client. `headers` is called before each request, as credentials may change; `timeout` is in seconds.

        Raises `Refused` for an invalid address.
        """
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise Refused(f"that is no address: {error}") from None
        self._url = url
        self._form = form
        self._names = names
        self._headers = headers
        self._timeout = timeout
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, headers=_ALWAYS)
        self.name = _origin(url)

    async def send(self, batch: Sequence[RecordedEvent]) -> None:
        selected = self._form.select(batch)
        if not selected:
            return
        body = self._form.body(selected, self._names)
        try:
            headers = httpx.Headers(self._headers())
            headers.setdefault("Content-Type", self._form.content_type)
            async with asyncio.timeout(self._timeout):
                status, text, after = await self._post(headers, body)
        except (httpx.TimeoutException, TimeoutError):
            raise TryLater(f"{self.name} sent no response within {self._timeout:g} seconds") from None
        except httpx.HTTPError as error:
            raise TryLater(f"{self.name}: {str(error) or type(error).__name__}") from None
        except BadHeader as error:  # the file may be about to be replaced
            raise TryLater(str(error)) from None
        self._judge(status, text, after, alone=len(selected) == 1)

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, headers: httpx.Headers, body: bytes) -> tuple[int, bytes, float | None]:
        """Return status, beginning of the body, and the seconds of `Retry-After`."""
        async with self._client.stream("POST", self._url, headers=headers, content=body) as response:
            after = retry_after(response.headers.get("Retry-After"))
            return response.status_code, await _beginning(response), after

    def _judge(self, status: int, body: bytes, after: float | None, *, alone: bool) -> None:
        if 200 <= status < 300 or (alone and self._form.known(status, body)):
            return
        reason = f"{self.name} responded {status}: {_legible(body)}"
        if status >= 500 or status in _BUSY:
            raise TryLater(reason, after)
        if status in _POISON:
            raise Poisoned(reason)
        raise Refused(reason)


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
