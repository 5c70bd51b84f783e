"""Requests per second when the client never waits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from pathlib import Path

from tests.benchmarks import nginx
from tests.benchmarks.bare import NAME as BARE
from tests.benchmarks.bare import bare
from tests.benchmarks.express import express
from tests.benchmarks.floor import NAME as FLOOR
from tests.benchmarks.floor import floor
from tests.benchmarks.nginx_lua import NAME as NGINX_LUA
from tests.benchmarks.nginx_lua import nginx_lua
from tests.benchmarks.programs import Candidate, Missing
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.tollgate import running_tollgate
from tests.benchmarks.wrk import saturate

TITLE = "POST /text-to-image, a static upstream"
CONNECTIONS = FEW, MANY = (32, 256)
RATE = "requests/s"
CPU = "CPU µs/request"
EACH = "tollgate, commit: each"
DIRECT, NGINX, TOLLGATE, TWO, EXPRESS = "direct", "nginx proxy_pass", "tollgate", "tollgate, 2 workers", "Express peer"
TO_NGINX = Target(0.20, aim=0.25)
TO_EXPRESS = Target(2.0, aim=3.0)
TO_NGINX_LUA = Target(1.0, aim=1.25)
PEERS = {EXPRESS: TO_EXPRESS, NGINX_LUA: TO_NGINX_LUA}
KEPT = Target(0.8)
TO_WORKER = Target(0.65, at_most=True)
TO_REDIS = Target(0.25, at_most=True)
Serving = Callable[[], AbstractAsyncContextManager[Candidate]]
"""Function that runs a candidate for the time of one measurement."""


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """Measure all candidates in turn, at both numbers of connections."""
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(nginx.static(folder / "upstream"))
        proxy = await stack.enter_async_context(nginx.proxy(folder / "proxy", direct))
        ours = await stack.enter_async_context(running_tollgate(folder / "one", direct))
        two = await stack.enter_async_context(running_tollgate(folder / "two", direct, name=TWO, workers=2))
        each_way = await stack.enter_async_context(
            running_tollgate(folder / "each", direct, name=EACH, ledger={"commit": "each"})
        )
        least = await stack.enter_async_context(floor(folder))
        chain = await stack.enter_async_context(bare(folder / "bare", direct))
        always = (direct, proxy, least, chain, ours.candidate, each_way.candidate, two.candidate)
        candidates: dict[str, Serving] = {each.name: _as_it_is(each) for each in always}
        try:
            candidates[EXPRESS] = (await stack.enter_async_context(express(folder / "express", direct))).serving
        except Missing as missing:
            section.notes.append(f"Without the Express peer: {missing}.")
        try:
            scripted = await stack.enter_async_context(nginx_lua(folder / "lua", direct))
            candidates[scripted.name] = _as_it_is(scripted)
        except Missing as missing:
            section.notes.append(f"Without the {NGINX_LUA}: {missing}.")
        answered = 0
        for number in range(-1, scale.rounds):  # round -1 warms up
            for connections in CONNECTIONS:
                for name, serving in candidates.items():
                    async with serving() as candidate:
                        load = await saturate(candidate, connections, scale.seconds, folder)
                    answered += load.requests if name == TOLLGATE else 0
                    if number >= 0:
                        section.add(_subject(name, connections), load.metrics)
        _figures(section, {name: target for name, target in PEERS.items() if name in candidates})
        # Above 1 by the requests that wrk abandons at the end of each run: everything was on, and nothing was lost.
        section.figure("usage events in the ledger per response that wrk counted", await ours.events() / answered)


def _figures(section: Section, peers: dict[str, Target]) -> None:
    def compare(metric: str, name: str, to: str, connections: int) -> float:
        return section.ratio(metric, _subject(name, connections), _subject(to, connections))

    for connections in CONNECTIONS:
        for other, target in {NGINX: TO_NGINX, **peers}.items():
            ratio = compare(RATE, TOLLGATE, other, connections)
            wanted = target if connections == FEW else None
            section.figure(f"tollgate / {other}, {connections} connections", ratio, target=wanted)
    kept = section.ratio(RATE, _subject(TOLLGATE, MANY), _subject(TOLLGATE, FEW))
    section.figure(f"tollgate, {MANY} connections / {FEW} connections", kept, target=KEPT)
    section.figure(f"2 workers / 1 worker, {FEW} connections", compare(RATE, TWO, TOLLGATE, FEW))
    section.figure(f"nginx proxy_pass / direct, {FEW} connections", compare(RATE, NGINX, DIRECT, FEW))
    for connections in CONNECTIONS:
        ratio = compare(RATE, TOLLGATE, EACH, connections)
        section.figure(f"{TOLLGATE} / {EACH}, {connections} connections", ratio)
    for role, target in (("worker CPU", TO_WORKER), ("redis CPU", TO_REDIS)):
        section.figure(f"{role} per request, {TOLLGATE} / {EACH}", compare(role, TOLLGATE, EACH, FEW), target=target)
    for less in (FLOOR, BARE):
        section.figure(f"{less} / {NGINX}, {FEW} connections", compare(RATE, less, NGINX, FEW))
        section.figure(f"tollgate / {less}, {FEW} connections", compare(RATE, TOLLGATE, less, FEW))
    for peer in peers:
        section.figure(f"{peer} / {NGINX}, {FEW} connections", compare(RATE, peer, NGINX, FEW))
    for other in (NGINX, *peers):
        cost = compare(CPU, TOLLGATE, other, FEW)
        section.figure(f"CPU time per request, Redis included, tollgate / {other}", cost)


def _as_it_is(candidate: Candidate) -> Serving:
    return lambda: nullcontext(candidate)


def _subject(name: str, connections: int) -> str:
    return f"{name}, {connections} connections"
