"""A sign-up that loses Redis half-way. Hazards: a developer without its app, an invitation that is used up for nobody.

Every command of a sign-up fails once; the same person then signs in again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisGone

from config.sign_in import SignUpSettings
from middlewares.exchange import Refusal
from proxy.control.apps import Apps
from proxy.control.audit.log import AuditLog
from proxy.control.developers.developers import Developers
from proxy.control.developers.invites import Invites
from proxy.control.developers.memberships import Memberships
from proxy.identity.sign_up import AdmittedDeveloper, Applicant, SignUp
from proxy.store.store import Store
from tests.support.wallet import Wallet


def sign_up_of(store: Store, **settings: Any) -> SignUp:
    """Return the sign-up of a policy."""
    redis = store.redis
    return SignUp(
        SignUpSettings.model_validate({"per_day": 10_000, **settings}),
        Developers(redis),
        Memberships(redis),
        Invites(redis, None),
        Apps(redis, None),
        AuditLog(redis),
    )


@contextmanager
def lost_after(store: Store, commands: int) -> Iterator[list[str]]:
    """Let Redis serve so many commands, and no more; yield the names of those that were served."""
    client: Any = store.redis
    served: list[str] = []
    send = client.execute_command

    async def execute(*arguments: Any, **options: Any) -> Any:
        if len(served) == commands:
            raise RedisGone("gone")
        served.append(arguments[0])
        return await send(*arguments, **options)

    client.execute_command = execute
    try:
        yield served
    finally:
        del client.execute_command


async def cut_off_everywhere(store: Store, sign_up: SignUp, app: str | None = None) -> AsyncIterator[Applicant]:
    """Yield somebody whose sign-up was cut off after one command, after two, and so on until one is not cut off."""
    for commands in count(1):
        code = None if app is None else await new_invite(sign_up, app)
        applicant = Applicant(Wallet().address, code, "192.0.2.1")
        try:
            with lost_after(store, commands):
                await sign_up.admit(applicant)
            return
        except RedisGone:
            yield applicant


async def new_invite(sign_up: SignUp, app: str) -> str:
    """Return the code of an invitation to an app."""
    return (await sign_up.invites.create(app, "billing", timedelta(hours=1)))[1]


async def apps_of(sign_up: SignUp, admitted: AdmittedDeveloper) -> list[tuple[str, str]]:
    """Return app and role of each membership."""
    members = await sign_up.memberships.of_developer(admitted.developer.developer_id)
    return [(each.app, each.role) for each in members]


async def test_whoever_signs_in_again_has_the_app_of_a_sign_up_that_was_cut_off(store: Store) -> None:
    sign_up = sign_up_of(store, policy="open", plan="free")
    cut = 0
    async for applicant in cut_off_everywhere(store, sign_up):
        cut += 1
        [(app, role)] = await apps_of(sign_up, await sign_up.admit(applicant))
        assert role == "owner"
        assert (await sign_up.apps.require(app)).plan == "free"
        assert await apps_of(sign_up, await sign_up.admit(applicant)) == [(app, role)]
    assert cut > 10
    assert len(await sign_up.apps.list()) == cut + 1, "no app is without its developer"


async def test_whoever_left_its_app_gets_no_other_one(store: Store) -> None:
    sign_up = sign_up_of(store, policy="open", plan="free")
    applicant = Applicant(Wallet().address, None, "192.0.2.1")
    admitted = await sign_up.admit(applicant)
    assert admitted.app is not None
    assert await sign_up.memberships.remove(admitted.app.client_id, admitted.developer.developer_id)
    assert await apps_of(sign_up, await sign_up.admit(applicant)) == []


async def test_an_invitation_is_good_for_whom_it_was_cut_off(store: Store) -> None:
    sign_up = sign_up_of(store, policy="invite")
    app, _ = await sign_up.apps.create("Acme", "free")
    cut = 0
    async for applicant in cut_off_everywhere(store, sign_up, app.client_id):
        cut += 1
        try:
            again = await sign_up.admit(applicant)
        except Refusal:  # only its end was cut off
            again = await sign_up.admit(replace(applicant, invite=None))
        assert await apps_of(sign_up, again) == [(app.client_id, "billing")]
        other = Applicant(Wallet().address, applicant.invite, "192.0.2.1")
        with pytest.raises(Refusal, match="unknown, used or over"):
            await sign_up.admit(other)
    assert cut > 10
    assert await sign_up.invites.list() == []
