"""The two tenants of the demo: their apps, users, keys, credits and members."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from middlewares.auth.records import AppRecord, Role
from middlewares.ledger.credit import prepaid
from middlewares.ledger.redis_keys import RedisKeys
from proxy.cli.demo.plans import PREPAID, STANDARD
from proxy.cli.demo.week import DAYS
from proxy.control.api_keys import ApiKeys
from proxy.control.apps import Apps
from proxy.control.developers.developers import Developers
from proxy.control.developers.memberships import Memberships
from proxy.control.operators.operators import Operators
from proxy.control.records import Records
from proxy.control.users import Users
from proxy.store.store import Store

DEMO_APP = "demo"
STUDIO_APP = "Lantern Studio"
OWNER_WALLET = "0x000000000000000000000000000000000000dead"
"""Wallet of the developer whom the demo lets into the portal; nobody has its key, so that nobody signs in with it."""
_ADMINISTRATOR = "demo"
_CREDITS = 10**18
_KIOSK_LIMIT = 10**6
"""Atomic units in a month: less than any image costs."""


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """One tenant. Keys are those that past requests came with, each with its user; None: the app itself."""

    app: AppRecord
    keys: tuple[tuple[str, str | None], ...]
    """Key id and user id."""
    secret: str = field(repr=False)
    """The text of the key that the demo itself uses."""


async def find_app(store: Store, pepper: bytes | None, name: str) -> AppRecord | None:
    """Return the app of that name, if an earlier run has made one."""
    return next((each for each in await Apps(store.redis, pepper).list() if each.name == name), None)


async def new_demo_tenant(store: Store, pepper: bytes | None) -> DemoTenant:
    """Create the app of the demo, with two users, and a key whose limit is too low for any image."""
    app = await _new_app(store, pepper, DEMO_APP, STANDARD)
    keys = [await _key(store, pepper, app, name, user) for name, user in _NAMES]
    limits = {"spend_per_month": str(_KIOSK_LIMIT)}
    _, secret = await ApiKeys(store.redis, pepper).create(
        app.client_id, name="Kiosk, almost without a budget", limits=limits
    )
    return DemoTenant(app, tuple(keys), secret)


async def new_studio_tenant(store: Store, pepper: bytes | None, keys: RedisKeys) -> DemoTenant:
    """Create a tenant that pays in advance."""
    app = await _new_app(store, pepper, STUDIO_APP, PREPAID)
    await prepaid.grant(store, keys, app.client_id, None, _CREDITS, reference="first deposit")
    made = [await _key(store, pepper, app, name, user) for name, user in _NAMES]
    return DemoTenant(app, tuple(made), await stream_key(store, pepper, app))


async def _new_app(store: Store, pepper: bytes | None, name: str, plan: str) -> AppRecord:
    """Create an app that is as old as its requests."""
    app, _ = await Apps(store.redis, pepper).create(name, plan)
    begin = app.created_at - timedelta(days=DAYS + 1)
    return await Records(store.redis, AppRecord).change(app.ref, lambda record: replace(record, created_at=begin))


async def stream_key(store: Store, pepper: bytes | None, app: AppRecord) -> str:
    """Create the key with which the demo publishes its stream."""
    _, secret = await ApiKeys(store.redis, pepper).create(app.client_id, name="Camera")
    return secret


async def owner(store: Store, app: AppRecord) -> str:
    """Return the developer who owns the app of the demo."""
    found, _ = await Developers(store.redis).create(OWNER_WALLET)
    await Memberships(store.redis).put(app.client_id, found.developer_id, "owner")
    return found.developer_id


async def administrator(store: Store, pepper: bytes | None) -> str:
    """Return the id of the operator whom the demo lets into the portal; nobody has its key."""
    operators = Operators(store.redis, pepper)
    known = next((each for each in await operators.list() if each.name == _ADMINISTRATOR), None)
    record = known or (await operators.create(_ADMINISTRATOR, Role.ADMIN))[0]
    return record.operator_id


_NAMES = (
    ("Website", None),
    ("Batch jobs", None),
    ("Ann's laptop", "ann@example.com"),
    ("Bob's phone", "bob@example.com"),
)


async def _key(
    store: Store, pepper: bytes | None, app: AppRecord, name: str, external_id: str | None
) -> tuple[str, str | None]:
    user_id = None
    if external_id is not None:
        user, _ = await Users(store.redis).create(app.client_id, external_id, email=external_id)
        user_id = user.user_id
    record, _ = await ApiKeys(store.redis, pepper).create(app.client_id, user=user_id, name=name)
    return record.key_id, user_id
