"""How many requests a second pass when the client never waits."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from tests.benchmarks import nginx
from tests.benchmarks.express import express
from tests.benchmarks.gate import Gate, gate
from tests.benchmarks.programs import Candidate, Missing
from tests.benchmarks.report import Section, Target
from tests.benchmarks.scale import Scale
from tests.benchmarks.wrk import saturate

TITLE = "POST /text-to-image, a static upstream"
CONNECTIONS = (32, 256)
RATE = "requests/s"
CPU = "CPU µs/request"
TO_NGINX = Target(0.15, aim=0.25)
TO_EXPRESS = Target(2.0, aim=3.0)
KEPT = Target(0.8)


async def run(section: Section, scale: Scale, folder: Path) -> None:
    """All candidates in turn, at both numbers of connections."""
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(nginx.static(folder / "upstream"))
        proxy = await stack.enter_async_context(nginx.proxy(folder / "proxy", direct))
        ours = await stack.enter_async_context(gate(folder / "one", direct))
        two = await stack.enter_async_context(gate(folder / "two", direct, name="tollgate, 2 workers", workers=2))
        candidates = [direct, proxy, ours.candidate, two.candidate]
        try:
            candidates.append(await stack.enter_async_context(express(folder / "express", direct)))
        except Missing as missing:
            section.notes.append(f"Without the Express peer: {missing}.")
        answered = await _rounds(section, scale, folder, candidates)
        await _figures(section, candidates, ours, answered)


async def _rounds(section: Section, scale: Scale, folder: Path, candidates: list[Candidate]) -> int:
    """Measure; the number of requests that the gate with one worker answered."""
    answered = 0
    for number in range(-1, scale.rounds):  # round -1 warms up
        for connections in CONNECTIONS:
            for candidate in candidates:
                load = await saturate(candidate, connections, scale.seconds if number >= 0 else 1, folder)
                if candidate.name == "tollgate":
                    answered += load.requests
                if number >= 0:
                    section.add(_subject(candidate, connections), load.metrics)
    return answered


async def _figures(section: Section, candidates: list[Candidate], ours: Gate, answered: int) -> None:
    few, many = CONNECTIONS
    direct, proxy, one, two, *peers = candidates
    for connections, goal, goal_of_peer in ((few, TO_NGINX, TO_EXPRESS), (many, None, None)):
        subject = _subject(one, connections)
        to_nginx = section.ratio(RATE, subject, _subject(proxy, connections))
        section.figure(f"tollgate / nginx proxy_pass, {connections} connections", to_nginx, target=goal)
        for peer in peers:
            to_peer = section.ratio(RATE, subject, _subject(peer, connections))
            section.figure(f"tollgate / {peer.name}, {connections} connections", to_peer, target=goal_of_peer)
    kept = section.ratio(RATE, _subject(one, many), _subject(one, few))
    section.figure(f"tollgate, {many} connections / {few} connections", kept, target=KEPT)
    section.figure(
        f"2 workers / 1 worker, {few} connections", section.ratio(RATE, _subject(two, few), _subject(one, few))
    )
    section.figure(
        f"nginx proxy_pass / direct, {few} connections",
        section.ratio(RATE, _subject(proxy, few), _subject(direct, few)),
    )
    for other in (proxy, *peers):
        cost = section.ratio(CPU, _subject(one, few), _subject(other, few))
        section.figure(f"CPU time per request, Redis included, tollgate / {other.name}", cost)
    # Above 1 by the requests that wrk abandons at the end of each run: everything was on, and nothing was lost.
    section.figure("usage events in the ledger per answer that wrk counted", await ours.events() / answered)


def _subject(candidate: Candidate, connections: int) -> str:
    return f"{candidate.name}, {connections} connections"
