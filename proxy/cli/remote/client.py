"""The client of the admin API: requests, and refusals as the operations themselves have them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from middlewares.store import StoreUnavailable
from proxy.api.admin.audit_documents import FIRST_LINE, LAST_LINE
from proxy.api.admin.operations.errors import ActRefused

Document = TypeVar("Document", bound=BaseModel)
Parameters = Mapping[str, str | int | bool | list[str] | None]

ROOT = "/api/v1/admin"
CONNECT_SECONDS = 10.0
REPLY_SECONDS = 600.0
"""Verification of a large ledger takes minutes."""


class AdminClient:
    """Sends requests with an operator key, which no redirect can carry elsewhere: none is followed."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    def at(cls, url: str, key: str) -> AdminClient:
        """Return a client of the server at this origin. Raises `ActRefused` for what is no origin, or no key."""
        try:
            parts = httpx.URL(url)
        except httpx.InvalidURL:
            parts = httpx.URL("")
        if parts.scheme not in ("http", "https") or not parts.host or parts.userinfo or parts.path.strip("/"):
            raise ActRefused("invalid_parameter", "--url must be an origin such as https://tollgate.example:9090", 400)
        if not key or not key.isascii() or not key.isprintable():
            reason = "--url needs an operator key in TOLLGATE_OPERATOR_KEY; `tollgate operators create` makes one"
            raise ActRefused("missing_credentials", reason, 400)
        return cls(
            httpx.AsyncClient(
                base_url=parts,
                headers={"authorization": f"Bearer {key}"},
                timeout=httpx.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS),
            )
        )

    async def close(self) -> None:
        """Disconnect."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        kind: type[Document],
        *,
        body: BaseModel | None = None,
        params: Parameters | None = None,
    ) -> Document:
        """Send a request and return the document of its response.

        Raises `ActRefused` for a refusal, `StoreUnavailable` where the server, or its Redis, cannot be reached.
        """
        try:
            response = await self._http.request(
                method,
                ROOT + path,
                params=_given(params),
                content=body.model_dump_json(by_alias=True, exclude_unset=True) if body is not None else None,
                headers={"content-type": "application/json"} if body is not None else {},
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if response.is_success:
            try:
                return kind.model_validate_json(response.content)
            except ValidationError:
                raise _foreign(response) from None
        raise _refusal(response)

    async def lines(self, path: str, params: Parameters | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the objects of an export as they come, each on a line of its own. Raises as `call` does."""
        last = ""
        try:
            async with self._http.stream("GET", ROOT + path, params=_given(params)) as response:
                if not response.is_success:
                    await response.aread()
                    raise _refusal(response)
                async for last in response.aiter_lines():
                    if last not in (FIRST_LINE, LAST_LINE):
                        yield json.loads(last.removesuffix(","))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except ValueError:
            raise _foreign(response) from None
        if last != LAST_LINE:
            raise _foreign(response)

    def _unreachable(self, error: httpx.HTTPError) -> StoreUnavailable:
        origin = self._http.base_url.copy_with(path="/")
        return StoreUnavailable(f"the admin API at {origin} cannot be reached: {str(error) or type(error).__name__}")


def _given(params: Parameters | None) -> dict[str, str | int | bool | list[str] | None]:
    return {name: value for name, value in (params or {}).items() if value not in (None, "", [])}


def _refusal(response: httpx.Response) -> Exception:
    """Return the error that a refused request stands for."""
    try:
        problem: Any = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return _foreign(response)
    if response.status_code == 503:
        return StoreUnavailable(detail)
    return ActRefused(code, detail, 400 if response.status_code == 400 else 409)


def _foreign(response: httpx.Response) -> StoreUnavailable:
    return StoreUnavailable(
        f"what responds at {response.url.copy_with(path='/', query=None)} is no admin API of this version: status "
        f"{response.status_code}"
    )
