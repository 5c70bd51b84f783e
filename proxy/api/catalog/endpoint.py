"""The catalog over HTTP: for any valid credential, and for everybody where the operator publishes it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response

from proxy.api.caller import DEVELOPER, Caller, CallerWith
from proxy.api.catalog.models import Catalog
from proxy.api.services import BuilderServices
from proxy.identity.token_issuer import APP_SCOPES


class AnyCaller(CallerWith):
    """The dependency: a caller with any scope at all, or None where the catalog is public and no credential sent."""

    def __init__(self) -> None:
        super().__init__(*sorted(APP_SCOPES | {DEVELOPER}))

    async def __call__(self, request: Request, response: Response) -> Caller | None:  # type: ignore[override]
        """Return the caller. Raises `Refusal`, for a credential that is not valid also where none is needed."""
        none_sent = "authorization" not in request.headers and "x-api-key" not in request.headers
        if none_sent and request.app.state.catalog_public:
            response.headers["cache-control"] = "no-store"
            return None
        return await super().__call__(request, response)


class CatalogEndpoint:
    """The route `/api/v1/catalog`."""

    def __init__(self, services: BuilderServices) -> None:
        self._services = services

    async def catalog(self, caller: Annotated[Caller | None, Depends(AnyCaller())]) -> Catalog:
        """Return workloads, models, plans with prices and limits, and which gateways are healthy now."""
        plan = (await self._services.apps.require(caller.app)).plan if caller and caller.app else None
        return self._services.offer.catalog(plan)
