"""Tokens per second: builders' back ends fetch one for each page view, so that the issuer must not be slow."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

from middlewares.auth.keys import pepper_of
from proxy.control.apps import Apps
from tests.benchmarks import nginx
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import PLAN, RunningTollgate, running_tollgate
from tests.benchmarks.wrk import Sent, saturate

TITLE = "the token endpoint beside GET /healthz, both of Tollgate"
CONNECTIONS = 32
HEALTH, CREDENTIALS = "GET /healthz", "client credentials"
TO_HEALTH = Target(0.3)
TOKEN = "/api/v1/oidc/token"
FORM = "application/x-www-form-urlencoded"
UNLIMITED = {"token_requests_per_minute": 10**6}


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Measure both in turn, on one worker."""
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(nginx.static(folder / "upstream"))
        ours = await stack.enter_async_context(running_tollgate(folder / "one", direct, control=UNLIMITED))
        await compare(section, ours, scale, folder)
    ratio = section.ratio("requests/s", CREDENTIALS, HEALTH)
    section.figure(f"{CREDENTIALS} / {HEALTH}, {CONNECTIONS} connections", ratio, target=TO_HEALTH)
    dearer = section.ratio("CPU µs/request", CREDENTIALS, HEALTH)
    section.figure(f"CPU time per request, Redis included, {CREDENTIALS} / {HEALTH}", dearer)


async def compare(section: Section, ours: RunningTollgate, scale: Scale, folder: Path) -> None:
    """Measure the rounds; health checks carry a key, as every request of a client does."""
    sent = {HEALTH: (ours.candidate, Sent("GET", "/healthz"))}
    sent[CREDENTIALS] = (replace(ours.candidate, keys=("",)), Sent("POST", TOKEN, FORM, await _form(ours)))
    for number in range(-1, scale.rounds):  # round -1 warms up
        for name, (candidate, request) in sent.items():
            load = await saturate(candidate, CONNECTIONS, scale.seconds, folder, request)
            if number >= 0:
                section.add(name, load.metrics)


async def _form(ours: RunningTollgate) -> bytes:
    settings = ours.deployment.settings
    async with ours.deployment.store() as store:
        app, secret = await Apps(store.redis, pepper_of(settings.auth)).create("bench", PLAN)
    fields = {
        "grant_type": "client_credentials",
        "client_id": app.client_id,
        "client_secret": secret,
        "scope": "admin",
    }
    return urlencode(fields).encode()
