"""Operations on the deployment itself: plans in force, state, configuration, signing keys, history."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from importlib.metadata import version

from config.loader import ConfigError
from middlewares.store import StoreError
from proxy.api.admin.documents import PlanDocument, PlanList
from proxy.api.admin.ledger_documents import (
    ForgottenGroup,
    GroupName,
    HistoryIdentity,
    HistoryPart,
    HistoryState,
    IssuerKeyDocument,
    PartState,
    PrunedStream,
    PrunedStreams,
    Pruning,
    ServerState,
    WorkersState,
)
from proxy.api.admin.operations.acts import Acts, settle_target
from proxy.api.admin.operations.errors import ActRefused, invalid
from proxy.api.admin.operations.ports import DeploymentOperations
from proxy.api.admin.operations.resources import Resources
from proxy.history.batch import start_of
from proxy.history.belonging import adopt, check
from proxy.history.queries import identity
from proxy.history.retention.boundary import wanted
from proxy.history.retention.prune import PrunePlan
from proxy.history.retention.pruner import detail_of, prune_all
from proxy.history.status import GroupInUse, forget_group, lag_seconds, streams
from proxy.identity.issuer_keys import IssuerKeys
from proxy.store.clients import CLIENT_ERRORS, now_ms


class DirectDeployment(DeploymentOperations):
    """The deployment, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._resources = resources
        self._acts = acts

    async def plans(self) -> PlanList:
        """Return the plans in force, built-in ones included."""
        plans = sorted(self._resources.settings.all_plans().items())
        items = [
            PlanDocument(name=name, version=plan.version, terms=plan.model_dump(mode="json", by_alias=True))
            for name, plan in plans
        ]
        return PlanList(items=items)

    async def status(self) -> ServerState:
        """Return how the deployment is doing."""
        resources = self._resources
        server = resources.server
        workers = WorkersState(
            configured=resources.settings.workers, running=server.running_workers() if server else None
        )
        redis, history = await self._redis(), await self._history()
        return ServerState(version=version("naap-tollgate"), workers=workers, redis=redis, history=history)

    async def reload(self) -> ServerState:
        """Take a new configuration: it is checked, then workers are replaced one by one."""
        server = self._resources.server
        if server is None:
            raise ActRefused(
                "server_needed", "a server takes a new configuration on SIGHUP, or by its admin API: --url"
            )
        async with self._acts.act("configuration.reload", "deployment"):
            try:
                await server.reload()
            except ConfigError as error:
                raise ActRefused("configuration_refused", "; ".join(str(each) for each in error.problems)) from None
        return await self.status()

    async def rotate_issuer(self, lead_seconds: int) -> IssuerKeyDocument:
        """Publish a new signing key, which signs after `lead_seconds`."""
        settings = self._resources.settings
        async with self._acts.act("issuer.rotate", "issuer") as act:
            try:
                keys = IssuerKeys.open(settings.data_dir, settings.issuer)
                key = await asyncio.to_thread(keys.rotate, settings.issuer, lead_seconds)
            except (ConfigError, OSError) as error:
                raise ActRefused("configuration_refused", str(error)) from None
            act.detail |= {"lead_seconds": lead_seconds}
            settle_target(act, key.kid)
        begin = datetime.fromtimestamp(key.signs_from, UTC)
        return IssuerKeyDocument(kid=key.kid, algorithm=key.algorithm, signs_from=begin)

    async def history(self) -> HistoryState:
        """Return how far each stream is archived and trimmed."""
        return HistoryState(streams=await streams(self._resources.sources))

    async def adopt_history(self) -> HistoryIdentity:
        """Make this the history of this Redis, in place of one that is lost."""
        name = await self._resources.history.read(identity)
        async with self._acts.act("history.adopt", "history", name):
            await adopt(self._resources.store.redis, self._resources.history)
        return HistoryIdentity(history=name)

    async def prune_history(self, pruning: Pruning) -> PrunedStreams:
        """Delete the events of old months, or count what that would delete; their totals stay."""
        if pruning.dry_run:
            return await self._prune(await self._bound(pruning), dry_run=True)
        async with self._acts.act("history.prune", "history") as act:
            bound = await self._bound(pruning)
            done = await self._prune(bound)
            act.detail |= detail_of(bound, sum(each.events for each in done.streams))
        return done

    async def forget_export_group(self, group: GroupName) -> ForgottenGroup:
        """Remove an export group that nobody runs any more: nothing is kept for it from now on."""
        async with self._acts.act("history.forget_group", "export_group", group.name):
            await check(self._resources.sources.client, self._resources.history)
            try:
                number = await forget_group(self._resources.sources, group.name)
            except GroupInUse:
                raise ActRefused(
                    "export_group_in_use", "an exporter works for this group: stop it, and try again a minute later"
                ) from None
            if not number:
                raise ActRefused(
                    "unknown_id", "there is no such export group: `tollgate history status` shows all", 404
                )
        return ForgottenGroup(name=group.name, streams=number)

    async def _prune(self, bound: int, *, dry_run: bool = False) -> PrunedStreams:
        work = prune_all(self._resources.sources, bound, dry_run=dry_run)
        return PrunedStreams(streams=[_pruned(*each) async for each in work])

    async def _bound(self, pruning: Pruning) -> int:
        """Return the first moment to keep, in Unix milliseconds."""
        sources, months = self._resources.sources, self._resources.settings.history.events_months
        if pruning.before is None and months is None:
            raise invalid("events are kept for ever: set `history.events_months`, or name the first month to keep")
        await check(sources.client, sources.history)
        now = await now_ms(sources.client)
        if pruning.before is None:
            return wanted(now, months or 0)
        return min(start_of(date.fromisoformat(f"{pruning.before}-01")), wanted(now, 0))

    async def _redis(self) -> PartState:
        try:
            await self._resources.store.health()
        except StoreError as error:
            return PartState(available=False, reason=str(error))
        return PartState(available=True, reason="")

    async def _history(self) -> HistoryPart:
        try:
            return HistoryPart(available=True, reason="", lag_seconds=await lag_seconds(self._resources.sources))
        except (StoreError, *CLIENT_ERRORS) as error:
            return HistoryPart(available=False, reason=str(error), lag_seconds=None)


def _pruned(stream: str, planned: PrunePlan, events: int) -> PrunedStream:
    boundary = planned.boundary_ms
    kept = datetime.fromtimestamp(boundary / 1_000, UTC).date().isoformat() if boundary else None
    return PrunedStream(stream=stream, kept_from=kept, events=events, held_by=list(planned.groups))
