"""Fetches key sets of external issuers."""

import asyncio

import httpx

from middlewares.auth.ports import FetchError

_SECONDS = 5
_MAX_BYTES = 1024 * 1024
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
"""No compression, so that a small response cannot expand into a large one."""


class HttpFetch:
    """`middlewares.auth.ports.Fetch` over httpx: no redirects, at most 5 seconds and 1 MiB."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._get(url)
        except TimeoutError:
            raise FetchError(f"no complete response within {_SECONDS} seconds") from None
        except httpx.HTTPError as error:
            raise FetchError(str(error) or type(error).__name__) from None

    async def _get(self, url: str) -> bytes:
        request = self._client.build_request("GET", url, headers=_HEADERS)
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            if response.status_code != 200:
                raise FetchError(f"status {response.status_code} instead of 200")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise FetchError(f"more than {_MAX_BYTES} bytes")
            return bytes(body)
        finally:
            await response.aclose()
