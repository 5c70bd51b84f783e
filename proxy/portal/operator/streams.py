"""The streams that run now, of all tenants, and the end of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response
from starlette.routing import Route

from config.workloads import Workload
from middlewares.exchange import Refusal
from middlewares.ledger.concurrency import gather_bounded
from middlewares.ledger.model import Hold
from middlewares.ledger.sessions.session import STREAM_TICK_MS
from middlewares.ledger.sessions.sessions import Sessions
from middlewares.live.byoc_streams import GAP_MS
from proxy.api.admin.endpoints import AppEndpoints
from proxy.api.admin.operations.errors import ActRefused
from proxy.control.apps import is_client_id
from proxy.history.reader import LedgerSources
from proxy.portal.operator.visits import HOME, OperatorForm, OperatorVisit, OperatorVisits
from proxy.portal.pages import Pages, see_other
from proxy.portal.services import PortalServices
from proxy.reporting.limits import stored_holds
from proxy.webhooks.live import sessions_of

STREAMS = f"{HOME}/streams"
_SHOWN = 100
"""Most streams that are listed; all are counted."""
_LONGEST_NAME = 1_024


@dataclass(frozen=True, slots=True)
class RunningStream:
    """A stream, as its last tick has left it."""

    hold: Hold
    """The hold of the tick to come."""
    milliseconds: int
    """For how long it was charged."""

    @property
    def ticked(self) -> datetime:
        """Return when its last tick was, or its beginning."""
        return datetime.fromtimestamp(self.hold.started_ms / 1_000, UTC)


class StreamPages:
    """Live streams and BYOC streams. An operator ends one as its client would: its gateway is told so from then on."""

    def __init__(self, services: PortalServices, pages: Pages) -> None:
        self._services = services
        self._pages = pages

    def routes(self, visits: OperatorVisits) -> Sequence[Route]:
        """Return the routes. Who may end all work of an app, by suspending it, may end one of its streams."""
        end = f"{STREAMS}/end"
        return (
            visits.page(STREAMS, self.show, AppEndpoints.page),
            visits.form(end, self.end, AppEndpoints.suspend, action="stream.end", kind="stream"),
        )

    async def show(self, visit: OperatorVisit) -> Response:
        """Show the streams, those that have not ticked for the longest time first."""
        holds = await stream_holds(self._services.sources)
        shown = await gather_bounded(self._stream, holds[:_SHOWN])
        apps = {each.app for each in holds[:_SHOWN]}
        names = await self._services.developers.apps.names(apps)
        return self._pages.show(
            "operator/streams.html",
            visit,
            rows=[each for each in shown if each is not None],
            count=len(holds),
            names=names,
            may_end=visit.may(AppEndpoints.suspend),
        )

    async def end(self, form: OperatorForm) -> Response:
        """Charge a stream up to now, and end it: its gateway is told at the next heartbeat, or within two ticks."""
        app, stream = form.fields.get("app", ""), form.fields.get("stream", "")
        sessions = self._sessions().get(form.fields.get("workload", ""))
        if sessions is None or not is_client_id(app) or not 0 < len(stream) <= _LONGEST_NAME:
            raise Refusal(400, "invalid_parameter", "Expected app, workload and name of a stream.")
        async with form.visit.acts.act("stream.end", "stream", stream, app):
            if await sessions.find(app, stream) is None:
                raise ActRefused("unknown_id", "the app has no such stream that runs", 404)
            await sessions.end(app, stream)
        return see_other(STREAMS)

    async def _stream(self, hold: Hold) -> RunningStream | None:
        found = await self._sessions()[hold.workload].find(hold.app, hold.stream)
        return None if found is None else RunningStream(hold, found.session.milliseconds)

    def _sessions(self) -> Mapping[str, Sessions]:
        """Return the sessions by their workloads."""
        resources = self._services.console.resources
        found = resources.store, resources.keys
        byoc = Sessions(*found, tick=STREAM_TICK_MS, gap=GAP_MS, workload=Workload.BYOC)
        live = sessions_of(resources.settings.webhooks, *found)
        return {Workload.LIVE_VIDEO_TO_VIDEO: live, Workload.BYOC: byoc}


async def stream_holds(sources: LedgerSources) -> list[Hold]:
    """Return the holds of all streams that run, of all apps, by the time of their last tick."""
    found = [each for tag in sources.keys.tags for each in await stored_holds(sources, tag, b'"stream":')]
    return sorted((each for each in found if each.stream), key=lambda each: (each.started_ms, each.request_id))
