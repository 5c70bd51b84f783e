"""A receiver behind HTTP: each batch is one POST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from proxy.reporting.export.formats import Format, Names
from proxy.reporting.export.headers import BadHeader
from proxy.reporting.export.sinks import Poisoned, Refused, TryLater
from proxy.reporting.stream import Recorded

_BUSY = frozenset({408, 425, 429})
_POISON = frozenset({400, 406, 409, 413, 415, 422})
"""What a receiver says of a body. Any other 4xx is about the address or the credentials, hence about every event."""

_ALWAYS = {"User-Agent": "tollgate", "Accept-Encoding": "identity"}
_MOST_BODY = 8_192
_SHOWN = 300
_LONGEST_WAIT = 3_600.0


class HttpSink:
    """Sends batches to one address. Redirects are not followed: credentials go where the operator said."""

    def __init__(
        self, url: str, form: Format, names: Names, headers: Callable[[], dict[str, str]], timeout: float
    ) -> None:
        """`headers` is asked before each request, so that credentials may change; `timeout` is how many seconds a
        request may take.

        Raises `Refused` for an address that is none.
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

    async def send(self, batch: Sequence[Recorded]) -> None:
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
            raise TryLater(f"{self.name} has not answered in {self._timeout:g} seconds") from None
        except httpx.HTTPError as error:
            raise TryLater(f"{self.name}: {str(error) or type(error).__name__}") from None
        except BadHeader as error:  # a file that is being replaced, perhaps
            raise TryLater(str(error)) from None
        self._judge(status, text, after, alone=len(selected) == 1)

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, headers: httpx.Headers, body: bytes) -> tuple[int, bytes, float | None]:
        """Status, beginning of the answer, seconds it asks to be left alone."""
        async with self._client.stream("POST", self._url, headers=headers, content=body) as answer:
            after = retry_after(answer.headers.get("Retry-After"))
            return answer.status_code, await _beginning(answer), after

    def _judge(self, status: int, body: bytes, after: float | None, *, alone: bool) -> None:
        if 200 <= status < 300 or (alone and self._form.known(status, body)):
            return
        reason = f"{self.name} answers {status}: {_legible(body)}"
        if status >= 500 or status in _BUSY:
            raise TryLater(reason, after)
        if status in _POISON:
            raise Poisoned(reason)
        raise Refused(reason)


def retry_after(value: str | None) -> float | None:
    """Seconds to wait by a `Retry-After` field, a number or a date (RFC 9110 section 10.2.3); at most an hour."""
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


async def _beginning(answer: httpx.Response) -> bytes:
    """As much of the answer as is worth reading."""
    found = b""
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) >= _MOST_BODY:
            break
    return found[:_MOST_BODY]


def _legible(body: bytes) -> str:
    """The beginning of an answer as one printable line."""
    text = body[:_SHOWN].decode(errors="replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split()) or "(no body)"


def _origin(url: str) -> str:
    """Scheme, host and port of an address: anything else of it may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
