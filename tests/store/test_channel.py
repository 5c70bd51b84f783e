"""One connection shared by everybody: every caller gets its own reply, whatever the others do."""

import asyncio

import pytest

from middlewares.store import Call, Script, StoreRejected, StoreUnavailable
from proxy.store.address import Credentials
from tests.store.conftest import OpenChannel, StartServer, dialer, run

pytestmark = pytest.mark.usefixtures("nothing_left")

ECHO = Script("echo", b"return ARGV[1]")
COUNT = Script("count", b"return redis.call('INCR', KEYS[1])")


async def test_ten_thousand_callers_each_get_their_own_reply(
    start_server: StartServer, open_channel: OpenChannel
) -> None:
    channel = await open_channel(start_server())
    await run(channel, Call(ECHO, (), (b"",)), 15)
    replies = await asyncio.gather(*(run(channel, Call(ECHO, (), (n,)), 15) for n in range(10_000)))
    assert replies == [b"%d" % n for n in range(10_000)]


async def test_commands_run_in_the_order_they_were_called(start_server: StartServer, open_channel: OpenChannel) -> None:
    channel = await open_channel(start_server())
    pushed = [channel.call(("RPUSH", "list", n), 15) for n in range(1_000)]
    assert await asyncio.gather(*pushed) == list(range(1, 1_001))
    assert await channel.call(("LRANGE", "list", 0, -1), 15) == [b"%d" % n for n in range(1_000)]


async def test_commands_of_one_tick_leave_in_one_write(start_server: StartServer, open_channel: OpenChannel) -> None:
    server = start_server()
    channel = await open_channel(server)
    before = _reads(server.ask("INFO", "stats"))
    await asyncio.gather(*(channel.call(("PING",), 15) for _ in range(100)))
    assert _reads(server.ask("INFO", "stats")) - before <= 3  # ours, and the two of INFO


def _reads(info: str) -> int:
    return int(info.partition("total_reads_processed:")[2].partition("\r\n")[0])


async def test_words_arrive_as_they_are(start_server: StartServer, open_channel: OpenChannel) -> None:
    channel = await open_channel(start_server())
    words: list[str | bytes | int] = ["", "ä\r\n", b"\x00\xff\r\n$5", -(2**70), "x" * 300_000]
    reply = await run(channel, Call(Script("list", b"return ARGV"), (), words), 15)
    assert reply == [b"", "ä\r\n".encode(), b"\x00\xff\r\n$5", b"%d" % -(2**70), b"x" * 300_000]


async def test_a_script_runs_once_whether_the_server_knows_it_or_not(
    binary: str, start_server: StartServer, open_channel: OpenChannel
) -> None:
    channel = await open_channel(start_server(binary=binary))
    assert [await run(channel, Call(COUNT, ("k",)), 15) for _ in range(3)] == [1, 2, 3]
    await channel.call(("SCRIPT", "FLUSH"), 15)
    assert await run(channel, Call(COUNT, ("k",)), 15) == 4
    assert await channel.call(("SCRIPT", "EXISTS", COUNT.sha), 15) == [1]


async def test_script_flush_under_load_loses_and_doubles_nothing(
    start_server: StartServer, open_channel: OpenChannel
) -> None:
    channel = await open_channel(start_server())
    done = asyncio.Event()

    async def flush() -> None:
        while not done.is_set():
            await channel.call(("SCRIPT", "FLUSH"), 15)
            await asyncio.sleep(0)

    async def count() -> list[int]:
        return [await run(channel, Call(COUNT, ("k",)), 15) for _ in range(100)]

    flusher = asyncio.create_task(flush())
    counts = await asyncio.gather(*(count() for _ in range(50)))
    done.set()
    await flusher
    assert sorted(n for numbers in counts for n in numbers) == list(range(1, 5_001))


async def test_cancelled_callers_leave_the_replies_of_others_alone(
    start_server: StartServer, open_channel: OpenChannel
) -> None:
    channel = await open_channel(start_server())
    calls = [asyncio.create_task(run(channel, Call(ECHO, (), (n,)), 15)) for n in range(1_000)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert replies[1::2] == [b"%d" % n for n in range(1, 1_000, 2)]
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::2])


async def test_a_scripts_own_error_is_the_callers_alone(
    binary: str, start_server: StartServer, open_channel: OpenChannel
) -> None:
    channel = await open_channel(start_server(binary=binary))
    faulty = Script("faulty", b"redis.call('SET', KEYS[1], 1) return redis.call('INCR', {})")
    custom = Script("custom", b"return redis.error_reply('LIMIT reached')")
    good, bad, own = await asyncio.gather(
        run(channel, Call(ECHO, (), (1,)), 15),
        run(channel, Call(faulty, ("k",)), 15),
        run(channel, Call(custom), 15),
        return_exceptions=True,
    )
    assert good == b"1"
    assert isinstance(bad, StoreRejected)
    assert bad.may_have_run
    assert isinstance(own, StoreRejected)
    assert str(own).endswith("replied: LIMIT reached")


async def test_more_commands_than_allowed_are_refused_at_once(
    start_server: StartServer, open_channel: OpenChannel
) -> None:
    channel = await open_channel(start_server(), max_pending=10)
    calls = [channel.call(("PING",), 15) for _ in range(10)]
    with pytest.raises(StoreUnavailable, match="leaves 10 commands unanswered"):
        channel.call(("PING",), 15)
    assert await asyncio.gather(*calls) == [b"PONG"] * 10
    assert await channel.call(("PING",), 15) == b"PONG"


async def test_login_and_database(start_server: StartServer, open_channel: OpenChannel) -> None:
    server = start_server("--user", "gate", "on", ">s3cret", "~*", "+@all", "-info")
    channel = await open_channel(server, login=Credentials("gate", "s3cret"), db=3)
    assert b" db=3 " in await channel.call(("CLIENT", "LIST"), 15)
    assert await channel.call(("CLIENT", "GETNAME"), 15) == b"tollgate"
    assert await channel.call(("ACL", "WHOAMI"), 15) == b"gate"


async def test_a_refused_login_is_told_without_the_password(binary: str, start_server: StartServer) -> None:
    server = start_server("--user", "gate", "on", ">s3cret", "~*", "+@all", binary=binary)
    for login in (Credentials("gate", "wr0ng"), Credentials("nobody", "wr0ng")):
        with pytest.raises(StoreRejected, match=r"login is refused: Redis at .* WRONGPASS") as caught:
            await dialer(login, timeout=60).dial(server.endpoint)
        assert "wr0ng" not in str(caught.value)


async def test_a_missing_password_is_asked_for(binary: str, start_server: StartServer) -> None:
    server = start_server("--requirepass", "s3cret", binary=binary)
    with pytest.raises(StoreRejected, match=r"login is refused: .* NOAUTH"):
        await dialer(timeout=60).dial(server.endpoint)
    connection, _ = await dialer(Credentials(None, "s3cret"), timeout=60).dial(server.endpoint)
    connection.close()
