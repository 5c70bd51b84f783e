"""Addresses behind which there is no Redis, or one too old: told in words, without a secret, and left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from middlewares.store import Call, Script, StoreRejected, StoreUnavailable
from proxy.store.address import Address, Credentials, Endpoint
from proxy.store.clients import sentinels
from proxy.store.cluster import Cluster
from proxy.store.connection import Reply
from proxy.store.node import NodeSettings
from proxy.store.topology import SentinelServers
from tests.store.conftest import dialer
from tests.store.servers import free_port

pytestmark = pytest.mark.usefixtures("nothing_left")

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def peer(behave: Behaviour) -> AsyncIterator[Endpoint]:
    """A listener that treats each connection as `behave` does, until the other side ends it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await behave(reader, writer)
            await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        yield Endpoint("127.0.0.1", listener.sockets[0].getsockname()[1])


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """The words of one command as Redis gets them; empty at the end of the stream."""
    words = []
    for _ in range(int((await reader.readline())[1:] or 0)):
        await reader.readline()
        words.append((await reader.readline())[:-2])
    return words


async def test_nobody_listens() -> None:
    with pytest.raises(StoreUnavailable, match=r"Redis at 127\.0\.0\.1:\d+ cannot be reached"):
        await dialer().dial(Endpoint("127.0.0.1", free_port()))
    with pytest.raises(StoreUnavailable, match="Redis at /nowhere/s cannot be reached: No such file"):
        await dialer().dial(Endpoint(path="/nowhere/s"))


async def test_a_web_server() -> None:
    async def gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer(gibberish) as endpoint:
        with pytest.raises(StoreUnavailable, match="no reply of a Redis"):
            await dialer().dial(endpoint)


async def test_more_answers_than_questions() -> None:
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK\r\n" * 100)

    async with peer(talkative) as endpoint:
        with pytest.raises(StoreUnavailable, match="no reply of a Redis"):
            await dialer().dial(endpoint)


async def test_silence() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(silence) as endpoint:
        with pytest.raises(StoreUnavailable, match="does not reply"):
            await dialer(timeout=0.1).dial(endpoint)


async def test_a_connection_that_ends_at_once() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with peer(hang_up) as endpoint:
        with pytest.raises(StoreUnavailable, match="closed the connection"):
            await dialer().dial(endpoint)


async def test_too_old_for_the_greeting_and_the_password_is_not_repeated() -> None:
    async def ancient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while words := await read_command(reader):
            if words[0] == b"AUTH":
                writer.write(b"+OK\r\n")
            else:
                said = b" ".join(b"`%s`," % word for word in words[1:])
                writer.write(b"-ERR unknown command `%s`, with args beginning with: %s\r\n" % (words[0], said))

    async with peer(ancient) as endpoint:
        with pytest.raises(StoreRejected, match="unknown command `HELLO`") as caught:
            await dialer(Credentials("u", "s3cret")).dial(endpoint)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("slot", [b"16384", b"99999999999", b"-1"])
async def test_a_cluster_that_redirects_a_slot_which_is_none(slot: bytes) -> None:
    """Hazard: a call whose redirection fails in the background, and that waits for its reply for ever."""
    port = b""

    async def node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies = {
            b"HELLO": b"*0\r\n",
            b"INFO": b"$0\r\n\r\n",
            b"CLUSTER": b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%b\r\n" % port,
            b"EVAL": b"-MOVED %b 127.0.0.1:%b\r\n" % (slot, port),
        }
        while words := await read_command(reader):
            writer.write(replies[words[0]])

    async with peer(node) as endpoint:
        port = b"%d" % endpoint.port
        address = Address.parse(f"redis+cluster://127.0.0.1:{endpoint.port}")
        cluster = Cluster(address, NodeSettings(dialer(), lambda _: None, lambda: None))
        await cluster.open()
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        cluster.submit(Call(Script("any", b"return 1"), ("key",), ()), reply, 60)
        async with asyncio.timeout(60):
            with pytest.raises(StoreRejected, match="MOVED"):
                await reply
        await cluster.close()


@pytest.mark.parametrize("nonsense", [b"*1\r\n:5\r\n", b"+OK\r\n", b"*1\r\n*2\r\n$4\r\nname\r\n$4\r\nmain\r\n", b"?"])
async def test_a_sentinel_that_talks_nonsense_does_not_silence_the_others(nonsense: bytes) -> None:
    honest = {"name": "main", "ip": "192.0.2.1", "port": "6379", "flags": "master", "config-epoch": "7"}
    honest["num-other-sentinels"] = "1"
    fields = b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for pair in honest.items() for word in pair)

    def saying(reply: bytes) -> Behaviour:
        async def sentinel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while words := await read_command(reader):
                writer.write(reply if words[0] == b"SENTINEL" else b"+OK\r\n")

        return sentinel

    async with peer(saying(nonsense)) as liar, peer(saying(b"*1\r\n*%d\r\n" % (2 * len(honest)) + fields)) as other:
        address = Address.parse(f"redis+sentinel://127.0.0.1:{liar.port},127.0.0.1:{other.port}/main")
        asked = sentinels(address, 0.5)
        servers = SentinelServers(address, asked, NodeSettings(dialer(), lambda _: None, lambda: None))
        assert await servers._locate() == Endpoint("192.0.2.1", 6379)
        await asked.aclose()
