"""Who may sign up, by policy. Hazards: invitations that count twice, apps by the dozen, records without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sign_in.conftest import OPEN_LIMITS, SIGN_IN
from tests.sign_in.operator import Operator
from tests.support.builder import bearer, builder_app
from tests.support.deployment import Deployment, deployed
from tests.support.wallet import LOGIN, Wallet

pytestmark = pytest.mark.ci


@asynccontextmanager
async def policy(folder: Path, **sign_up: Any) -> AsyncIterator[tuple[Deployment, Operator, httpx.AsyncClient]]:
    """Run Tollgate with this policy."""
    config = {"sign_in": SIGN_IN, "sign_up": sign_up, **OPEN_LIMITS}
    async with (
        deployed(folder, config) as deployment,
        httpx.AsyncClient(base_url=deployment.public, trust_env=False, verify=False, timeout=30) as http,
    ):
        yield deployment, Operator(deployment), http


def refused(response: httpx.Response) -> tuple[int, str]:
    """Return status and code."""
    return response.status_code, response.json()["code"]


async def test_an_invitation_makes_one_member_once(tmp_path: Path) -> None:
    async with policy(tmp_path, policy="invite") as (deployment, operator, http):
        app, other = [await builder_app(deployment, http) for _ in range(2)]
        wallets = [Wallet() for _ in range(10)]
        assert refused(await wallets[0].sign_in(http)) == (403, "sign_up_closed")
        code = await operator.invite(app.client_id, "billing")
        wrong = code[:-1] + ("a" if code[-1] != "a" else "b")
        for bad in (wrong, "tgi_none", "\u00e4"):
            assert refused(await wallets[0].sign_in(http, bad)) == (403, "invite_invalid")
        found = await asyncio.gather(*(each.sign_in(http, code) for each in wallets))
        assert sorted(each.status_code for each in found) == [200] + [403] * 9
        [good] = [each.json() for each in found if each.status_code == 200]
        assert [(each["client_id"], each["role"]) for each in good["developer"]["apps"]] == [(app.client_id, "billing")]
        known = [await operator.find(each) for each in wallets]
        assert sum(each is not None for each in known) == 1, "whoever was late is nobody"
        winner = next(each for each in wallets if each.address == good["address"])
        assert (await winner.sign_in(http)).status_code == 200
        again = await operator.invite(app.client_id, "owner")
        assert refused(await winner.sign_in(http, again)) == (403, "invite_invalid")
        second = await winner.sign_in(http, await operator.invite(other.client_id, "owner"))
        assert [each["role"] for each in second.json()["developer"]["apps"]] == ["billing", "owner"]
        over = await operator.invite(app.client_id, lifetime=timedelta(milliseconds=1))
        assert refused(await Wallet().sign_in(http, over)) == (403, "invite_invalid")
        code, fresh, thief = await operator.invite(app.client_id), Wallet(), Wallet()
        message = fresh.message(await fresh.challenge(http))
        forged = {"message": message, "signature": thief.sign(message), "invite": code}
        assert refused(await http.post(LOGIN, json=forged)) == (401, "signature_invalid")
        assert (await fresh.sign_in(http, code)).status_code == 200, "a forged message uses up no invitation"
        lines = (await http.get(f"{app.path}/audit", auth=app.basic)).json()["lines"]
        line = [each for each in lines if each["action"] == "member.add"][-1]
        assert (line["actor_kind"], line["actor"]) == ("developer", good["developer"]["developer_id"])
        assert (line["target"], line["detail"]["role"]) == (good["developer"]["developer_id"], "billing")


async def test_approval_is_waited_for(tmp_path: Path) -> None:
    async with policy(tmp_path, policy="approve", per_day=2) as (deployment, operator, http):
        wallet = Wallet()
        for _ in range(2):
            assert refused(await wallet.sign_in(http)) == (403, "developer_pending")
        developer = await operator.find(wallet)
        assert developer is not None
        assert developer.status == "pending"
        code, out, err = await deployment.cli("developers", "approve", developer.developer_id, "--json")
        assert code == 0, err
        assert '"status": "active"' in out
        assert (await wallet.sign_in(http)).status_code == 200
        assert refused(await Wallet().sign_in(http)) == (403, "developer_pending")
        assert refused(await Wallet().sign_in(http)) == (403, "sign_up_full"), "records have a bound"
        app = await builder_app(deployment, http)
        invited = Wallet()
        assert (await invited.sign_in(http, await operator.invite(app.client_id))).status_code == 200


async def test_open_sign_up_makes_one_app_for_each_wallet(tmp_path: Path) -> None:
    async with policy(tmp_path, policy="open", plan="free", per_day=20) as (_, _, http):
        wallet = Wallet()
        found = await asyncio.gather(*(wallet.sign_in(http) for _ in range(5)))
        assert [each.status_code for each in found] == [200] * 5
        [app] = [made for each in found if (made := each.json()["created_app"])]
        token = (await wallet.sign_in(http)).json()
        assert [(each["client_id"], each["role"]) for each in token["developer"]["apps"]] == [
            (app["client_id"], "owner")
        ]
        users = f"/api/v1/apps/{app['client_id']}/users"
        created = await http.post(users, json={"external_id": "ann"}, headers=bearer(token["token"]))
        assert created.status_code == 201
        basic = httpx.BasicAuth(app["client_id"], app["client_secret"])
        assert (await http.get(users, auth=basic)).status_code == 200
        stranger = await Wallet().sign_in(http)
        assert (await http.get(users, headers=bearer(stranger.json()["token"]))).status_code == 404
        lines = (await http.get(f"/api/v1/apps/{app['client_id']}/audit", auth=basic)).json()["lines"]
        assert lines[0]["action"] == "user.create"
        assert sorted(each["action"] for each in lines[1:]) == ["app.create", "member.add"]
        assert {each["actor_kind"] for each in lines} == {"developer"}
