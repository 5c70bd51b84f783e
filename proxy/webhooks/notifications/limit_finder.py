"""Finds caps and balances of whoever has used something since the last look, in the order of the archived events."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from config.notifications import NotificationSettings
from config.plans import Plan
from middlewares.auth.records import AppRecord, KeyRecord, RecordRef
from middlewares.ledger.admission.rules import LimitRule, rules_of
from middlewares.ledger.periods import period_of
from middlewares.ledger.redis_keys import RedisKeys
from proxy.control.records import Client, Records
from proxy.history import queries
from proxy.history.store import History
from proxy.history.tables import EVENTS
from proxy.webhooks.notifications import outbox
from proxy.webhooks.notifications.limits import CapUse, Consumption, WalletState, balance_ends, cap_ends, crossed, low
from proxy.webhooks.notifications.notification import NotificationKind
from proxy.webhooks.notifications.round import Addressed, NotifierRound

KINDS = (
    NotificationKind.LIMIT_THRESHOLD,
    NotificationKind.LIMIT_FORECAST,
    NotificationKind.BALANCE_LOW,
    NotificationKind.BALANCE_FORECAST,
)
CATCH_UP = 20_000
"""Most events behind the newest ones that are looked at, where nobody has looked for long."""


@dataclass(frozen=True, slots=True)
class _Spender:
    """Whoever an event is of."""

    app: str
    user: str | None
    key: str | None


@dataclass(slots=True)
class _Read:
    """What is to be read of a cap or a wallet, and for whom."""

    rule: LimitRule
    spender: _Spender
    name: str
    """Redis key of a hash."""
    fields: tuple[str, ...]
    values: list[bytes | None] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        return [int(value or b"0") for value in self.values]


class LimitFinder:
    """Looks at the caps and wallets of those who used something; `cursors` says up to which event it has looked."""

    def __init__(
        self,
        client: Client,
        keys: RedisKeys,
        history: History,
        settings: NotificationSettings,
        plans: Mapping[str, Plan],
    ) -> None:
        self._client: Any = client
        self._keys = keys
        self._history = history
        self._settings = settings
        self._plans = plans
        self._apps = Records(client, AppRecord)
        self._key_records = Records(client, KeyRecord)
        self._consumption = Consumption()
        self.cursors: dict[int, int] = {}
        """By hash tag; to be written with what was found."""

    async def find(self, current: NotifierRound) -> list[Addressed]:
        """Return the notifications about caps and balances."""
        owners = current.owners_that_want(KINDS)
        if not owners:
            self.cursors = {}
            return []
        self.cursors, spenders = await self._history.read(_spenders, owners)
        if not spenders:
            return []
        reads = await self._reads(spenders)
        pipeline = self._client.pipeline(transaction=False)
        for each in reads:
            each.fields = each.fields or (f"used:{period_of(each.rule.kind, current.now)}",)
            pipeline.hmget(each.name, each.fields)
        for each, values in zip(reads, await pipeline.execute() if reads else [], strict=True):
            each.values = values
        return [found for each in reads for found in self._notifications(each, current)]

    async def _reads(self, spenders: Collection[_Spender]) -> list[_Read]:
        """Return which caps and wallets are to be read, each once."""
        apps = await self._apps.several([RecordRef("app", each) for each in {each.app for each in spenders}])
        keys = {each.key for each in spenders if each.key is not None}
        records = await self._key_records.several([RecordRef("key", each) for each in keys])
        app_of, key_of = {each.client_id: each for each in apps}, {each.key_id: each for each in records}
        found: dict[str, _Read] = {}
        for each in spenders:
            app = app_of.get(each.app)
            plan = self._plans.get(app.plan) if app else None
            if app is not None and plan is not None:
                for read in self._of(each, app.plan, plan, key_of.get(each.key or "")):
                    found.setdefault(read.name, read)
        return list(found.values())

    def _of(self, spender: _Spender, name: str, plan: Plan, key: KeyRecord | None) -> Iterator[_Read]:
        terms = key.terms if key else None
        for rule in rules_of(
            self._keys, app=spender.app, user=spender.user, key=spender.key, name=name, plan=plan, terms=terms
        ):
            if rule.kind == "b":
                wallets = (rule.keys[0], None), (rule.keys[1], spender.user)
                for wallet, user in dict(wallets).items():
                    yield _Read(rule, _Spender(spender.app, user, None), wallet, ("granted", "spent"))
            elif rule.kind in "dmt" and not rule.policy.startswith("global-"):
                yield _Read(rule, _subject(rule, spender), rule.keys[0], ())

    def _notifications(self, read: _Read, current: NotifierRound) -> Iterator[Addressed]:
        if read.rule.kind == "b":
            yield from self._about_wallet(read, current)
        else:
            yield from self._about_cap(read, current)

    def _about_cap(self, read: _Read, current: NotifierRound) -> Iterator[Addressed]:
        rule, spender, [used] = read.rule.at(current.now), read.spender, read.numbers
        use = CapUse(rule, spender.app, spender.user, spender.key, used, current.now)
        for notification in crossed(use, self._settings.thresholds):
            yield from current.address(notification)
        ends = self._consumption.used_up(rule.keys[0], used, rule.limit - used, current.now)
        if forecast := cap_ends(use, ends, self._settings.forecast_hours):
            yield from current.address(forecast)

    def _about_wallet(self, read: _Read, current: NotifierRound) -> Iterator[Addressed]:
        if read.values[0] is None:
            return
        granted, spent = read.numbers
        wallet = WalletState(read.name, read.spender.app, read.spender.user, granted, spent)
        for endpoint in current.by_owner.get(wallet.app, ()):
            below = endpoint.balance_below
            if below is not None and endpoint.wants(NotificationKind.BALANCE_LOW) and (found := low(wallet, below)):
                yield endpoint.webhook_id, found
        ends = self._consumption.used_up(wallet.name, spent, wallet.left, current.now)
        if forecast := balance_ends(wallet, ends, current.now, self._settings.forecast_hours):
            yield from current.address(forecast)


def _subject(rule: LimitRule, spender: _Spender) -> _Spender:
    """Return whose cap it is: that of a key, of a user, or of the whole app."""
    scope = rule.policy.partition("-")[0]
    return _Spender(
        spender.app,
        spender.user if scope in ("user", "key") else None,
        spender.key if scope == "key" else None,
    )


def _spenders(connection: Connection, owners: Collection[str]) -> tuple[dict[int, int], set[_Spender]]:
    """Return the newest event of each hash tag, and those of these apps that have new ones since the last look.

    Within a tag one archiver at a time writes, so that no event can appear before one that was seen.
    """
    seen = outbox.look_cursors(connection)
    newest = {tag: cursor.seq for tag, cursor in queries.cursors(connection).items()}
    found: set[_Spender] = set()
    for tag, seq in newest.items():
        after = max(seen.get(tag, 0), seq - CATCH_UP)
        if after < seq:
            query = select(EVENTS.c.app, EVENTS.c.user_id, EVENTS.c.key_id).distinct()
            rows = connection.execute(query.where(EVENTS.c.tag == tag, EVENTS.c.seq > after, EVENTS.c.seq <= seq))
            found |= {_Spender(row.app, row.user_id, row.key_id) for row in rows if row.app in owners}
    return {tag: seq for tag, seq in newest.items() if seq != seen.get(tag)}, found
