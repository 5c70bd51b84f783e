"""Lines to paste into a terminal or a program, for the models of this deployment and the limits of one's own key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.responses import Response
from starlette.routing import Route

from config.workloads import Workload
from middlewares.auth.records import KeyRecord
from proxy.identity.token_issuer import USERS_READ
from proxy.portal.access.forms import FilterRefused
from proxy.portal.access.visits import Visit, Visits
from proxy.portal.pages import Pages
from proxy.portal.services import PortalServices
from proxy.portal.tenant.key_fields import limits_of, works
from proxy.portal.tenant.overview import APP

PLACEHOLDER = "MODEL_ID"
"""Stands where neither the key nor the configuration names a model."""
_SHOWN = 200


class TryItPages:
    """Examples. The text of a key is in none of them: they read it from the environment."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: Visits) -> Sequence[Route]:
        """Return the route."""
        return (visits.page(f"{APP}/try", self.show, USERS_READ),)

    async def show(self, visit: Visit) -> Response:
        """Show the examples; those of a key that is chosen stay within what it may do."""
        now, named = datetime.now(UTC), self._services.settings.named_models
        records = await self._services.api_keys.list(visit.client_id)
        owners = {each.user for each in records if each.user and works(each, now)}
        suspended = await self._services.users.suspended(visit.client_id, owners)
        keys = [each for each in records if works(each, now) and each.user not in suspended]
        wanted = visit.request.query_params.get("key", "")
        key = next((each for each in keys if each.key_id == wanted), None)
        if wanted and key is None and visit.mistake is None:
            raise FilterRefused("key", "The app has no such key that works.", 404)
        return self._pages.show(
            "try_it.html",
            visit,
            keys=[*([key] if key and key not in keys[-_SHOWN:] else ()), *keys[-_SHOWN:][::-1]],
            hidden=max(0, len(keys) - _SHOWN),
            key=key,
            limits=limits_of(key, self._services.settings.currency, now) if key else [],
            origin=self._services.origin,
            image_model=example_model(Workload.TEXT_TO_IMAGE, named(Workload.TEXT_TO_IMAGE), key),
            chat_model=example_model(Workload.LLM, named(Workload.LLM), key),
            placeholder=PLACEHOLDER,
        )


def example_model(workload: Workload, named: frozenset[str], key: KeyRecord | None) -> str | None:
    """Return a model for an example, of those that the configuration names for such work; empty: any may be offered.

    None: the key may not do it, or not from a program.
    """
    if key is not None:
        if key.origins or (key.workloads is not None and workload not in key.workloads):
            return None
        if key.models is not None:
            return min(named & key.models if named else key.models, default=None)
    return min(named, default=PLACEHOLDER)
