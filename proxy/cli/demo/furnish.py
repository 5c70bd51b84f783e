"""What a running demo has in it: tenants with a past, a stream, a key, and links for whoever started it."""

from __future__ import annotations

from datetime import timedelta

from config.settings import Settings
from middlewares.auth.keys import pepper_of
from middlewares.auth.records import AppRecord
from proxy.cli.demo.plans import PREPAID
from proxy.cli.demo.record import record_week
from proxy.cli.demo.tenants import (
    DEMO_APP,
    STUDIO_APP,
    administrator,
    find_app,
    new_demo_tenant,
    new_studio_tenant,
    owner,
    stream_key,
)
from proxy.cli.demo.visitors import publish, send_refused
from proxy.cli.demo.week import past_requests
from proxy.control.api_keys import ApiKeys
from proxy.control.developers.sign_in_links import SIGN_IN_PATH, SignInLinks
from proxy.control.operators.sessions import OPERATOR_SIGN_IN_PATH, OperatorLinks
from proxy.store.clients import now_ms
from proxy.store.configured import open_store, redis_keys
from proxy.store.store import Store


async def furnish(settings: Settings, origin: str) -> tuple[str, str, str]:
    """Return a new key of the app named `demo`, and the paths of links by which its owner and an operator sign in.

    Tenants and their past are made at the first run in a folder alone.
    """
    pepper = pepper_of(settings.auth)
    async with await open_store(settings) as store:
        app = await find_app(store, pepper, DEMO_APP) or await _first_run(settings, store, origin)
        _, key = await ApiKeys(store.redis, pepper).create(app.client_id, name="demo")
        if studio := await find_app(store, pepper, STUDIO_APP):
            await publish(origin, await stream_key(store, pepper, studio))
        lifetime = timedelta(seconds=settings.portal.link_seconds)
        _, secret = await SignInLinks(store.redis, pepper).create(await owner(store, app), lifetime)
        operator = await administrator(store, pepper)
        _, of_operator = await OperatorLinks(store.redis, pepper).create(operator, lifetime)
        return key, SIGN_IN_PATH + secret, OPERATOR_SIGN_IN_PATH + of_operator


async def _first_run(settings: Settings, store: Store, origin: str) -> AppRecord:
    """Make the tenants and a week of their requests, and have one refused; return the app of the demo."""
    pepper = pepper_of(settings.auth)
    tenants = [await new_demo_tenant(store, pepper)]
    if PREPAID in settings.plans:
        tenants.append(await new_studio_tenant(store, pepper, redis_keys(settings)))
    past = [each for each in past_requests(await now_ms(store.redis)) if each.tenant < len(tenants)]
    await record_week(settings, store, tenants, past)
    await send_refused(origin, tenants[0].secret)
    return tenants[0].app
