"""Load generators measure what they claim; no test depends on how fast anything is."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import psutil
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.benchmarks import nginx
from tests.benchmarks.__main__ import PARTS, chosen
from tests.benchmarks.bare import bare
from tests.benchmarks.client import request
from tests.benchmarks.floor import floor
from tests.benchmarks.keys import fill
from tests.benchmarks.nginx_lua import nginx_lua
from tests.benchmarks.openloop import Generator, Orders, measure
from tests.benchmarks.programs import Candidate, Failed, Missing, find, upstream
from tests.benchmarks.report import Section, Target
from tests.benchmarks.streams import held, relayed
from tests.benchmarks.timer import Timer
from tests.benchmarks.tollgate import running_tollgate
from tests.benchmarks.transfer import BLOCK, download, upload
from tests.benchmarks.upstream import chat
from tests.benchmarks.wrk import BODY, saturate
from tests.support.deployment import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def direct(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Candidate]:
    """Run the upstream in a process of its own."""
    async with upstream(tmp_path_factory.mktemp("upstream")) as candidate:
        yield candidate


async def test_parts_are_chosen_by_name() -> None:
    assert chosen([]) == ([*PARTS], False)
    assert chosen(["--quick"]) == ([name for name in PARTS if name != "soak"], True)
    assert chosen(["--soak", "bulk"]) == (["bulk", "soak"], False)
    with pytest.raises(SystemExit):
        chosen(["speed"])


async def test_a_section_reports_medians_and_compares_round_by_round() -> None:
    section = Section("part", "a title")
    for ours, theirs in ((10.0, 100.0), (30.0, 200.0), (20.0, 400.0)):
        section.add("ours", {"requests/s": ours})
        section.add("theirs", {"requests/s": theirs})
    section.figure("ours / theirs", section.ratio("requests/s", "ours", "theirs"), target=Target(0.05, aim=0.2))
    section.figure("more", section.difference("requests/s", "theirs", "ours"), "1/s", Target(100, at_most=True))
    text = section.markdown()
    assert "| ours | 20 (10 to 30) |" in text
    assert "| ours / theirs | 0.1 | ≥ 0.05, aim 0.2 | met, aim not met |" in text
    assert "| more | 170 1/s | ≤ 100 | not met |" in text
    assert section.document()["measured"]["theirs"]["requests/s"] == {"median": 200.0, "rounds": [100.0, 200.0, 400.0]}


async def test_a_server_ends_with_its_context(tmp_path: Path) -> None:
    async with upstream(tmp_path) as candidate:
        [process] = candidate.processes["upstream"]
        assert process.is_running()
        assert candidate.cpu()["upstream"] > 0
    assert not psutil.pid_exists(process.pid)


async def test_the_timer_misses_no_instant() -> None:
    timer = Timer(period=1_000_000)
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += timer.passed()

    loop = asyncio.get_running_loop()
    loop.add_reader(timer.fileno(), count)
    try:
        await eventually(lambda: passed >= 20)
        assert (time.monotonic_ns() - timer.start) // 1_000_000 + 1 >= passed
    finally:
        loop.remove_reader(timer.fileno())
        timer.close()


@pytest.mark.ci
async def test_the_open_loop_measures_from_a_process_of_its_own(direct: Candidate) -> None:
    result = await measure(direct, "/text-to-image", BODY, rate=100, seconds=0.3)
    assert 0 < result.first_p50 <= result.first_p99
    assert result.first_p50 <= result.p50 <= result.p99


async def test_the_open_loop_counts_waiting_for_a_slow_server(direct: Candidate) -> None:
    """Streams of 50 ms, due every 10 ms over one connection: each waits 40 ms longer than the one before."""
    orders = Orders(direct.port, "none", "/llm", chat("pause-10", 5), rate=100, requests=10, warm_up=0, connections=1)
    result = await Generator(orders).run()
    assert result.p99 >= 50 + 9 * 40


async def test_the_open_loop_fails_on_errors(direct: Candidate) -> None:
    orders = Orders(direct.port, "none", "/llm", b"no JSON", rate=100, requests=1, warm_up=0, connections=1)
    with pytest.raises(Failed):
        await Generator(orders).run()


async def test_streams_are_counted_by_chunk_and_held_open(direct: Candidate) -> None:
    assert await relayed(direct.port, request("POST", "/llm", chat("pause-1", 20), "none")) == 20
    [process] = direct.processes["upstream"]
    async with held(direct.port, request("POST", "/llm", chat("hold", 2), "none"), 100):
        assert len(process.net_connections()) >= 100
    await eventually(lambda: len(process.net_connections()) < 100)


async def test_large_bodies_go_both_ways(direct: Candidate) -> None:
    size = 8 * len(BLOCK)
    assert await asyncio.to_thread(download, direct, size) > 0
    for chunked in (True, False):
        assert await asyncio.to_thread(upload, direct, size, chunked=chunked) > 0


@pytest.mark.slow
async def test_the_whole_product_is_measured_with_many_keys(direct: Candidate, tmp_path: Path) -> None:
    async with running_tollgate(tmp_path / "tollgate", direct) as ours:
        assert len(ours.workers) == 1
        keys = await fill(ours.deployment, 1_001)
        assert len(keys) == 1_000
        message = request("POST", "/llm", chat("pause-1", 5), keys[-1])
        assert await relayed(ours.candidate.port, message) >= 1
        with pytest.raises(Failed, match="status 401"):
            await relayed(ours.candidate.port, request("POST", "/llm", chat("pause-1", 5), "unknown"))
        assert set(ours.candidate.cpu()) == {"worker", "redis"}
        [event] = await ours.deployment.settled(1)
        assert event["units"]["output_tokens"] == 5
        assert await ours.events() == 1


@pytest.mark.slow
async def test_the_least_that_a_server_and_a_chain_cost_is_measured_on_real_responses(
    direct: Candidate, tmp_path: Path
) -> None:
    async with floor(tmp_path) as least, bare(tmp_path / "bare", direct) as chain:
        assert set(chain.cpu()) == {"worker", "redis"}
        for candidate in (least, chain):
            result = await measure(candidate, "/text-to-image", BODY, rate=100, seconds=0.3)
            assert result.p50 > 0


@pytest.mark.ci
async def test_wrk_saturates_nginx(tmp_path: Path) -> None:
    try:
        find("wrk", "wrk"), find("nginx", "nginx-light")
    except Missing as missing:
        pytest.skip(str(missing))
    async with AsyncExitStack() as stack:
        static = await stack.enter_async_context(nginx.static(tmp_path / "static"))
        for candidate in (static, await stack.enter_async_context(nginx.proxy(tmp_path / "proxy", static))):
            load = await saturate(candidate, 4, 1, tmp_path)
            assert load.requests > 0
            assert msgspec.json.encode(load.metrics)


async def test_the_scripted_nginx_serves_and_records(direct: Candidate, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        try:
            peer = await stack.enter_async_context(nginx_lua(tmp_path / "lua", direct))
        except Missing as missing:
            pytest.skip(str(missing))
        result = await measure(peer, "/text-to-image", BODY, rate=100, seconds=0.3)
        assert result.p50 > 0
        assert set(peer.cpu()) == {"worker", "redis"}
        async with Redis(unix_socket_path=str(tmp_path / "lua" / "lua.sock")) as client:

            async def recorded() -> bool:
                return int(await client.xlen("events")) > 0

            await eventually(recorded)
