"""The store as the rest of Tollgate uses it: opened by address or embedded, and nothing left when it closes."""

import asyncio
import datetime
import ipaddress
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from middlewares.store import Call, Script, ScriptRunner, StoreError, StoreTimeout, StoreUnavailable
from proxy.store.breaker import BreakerState
from proxy.store.store import Store
from tests.store.conftest import StartServer
from tests.store.servers import WITHIN, binaries, eventually, free_port, processes_of

pytestmark = pytest.mark.usefixtures("nothing_left")

COUNT = Script("count", b"return redis.call('INCR', KEYS[1])")


async def test_the_embedded_store_keeps_its_data_and_its_two_clients_see_the_same(tmp_path: Path) -> None:
    async with await Store.open(None, tmp_path) as store:
        runner: ScriptRunner = store
        assert await runner.run(Call(COUNT, ("k",))) == 1
        assert await store.redis.get("k") == b"1"
        await store.health()
    assert not processes_of(tmp_path)
    async with await Store.open(None, tmp_path) as store:
        assert await store.run(Call(COUNT, ("k",))) == 2


async def test_the_embedded_store_survives_the_death_of_its_server_and_its_supervisor(tmp_path: Path) -> None:
    news: list[str] = []
    async with await Store.open(None, tmp_path, on_new_server=lambda: news.append("new")) as store:
        for turn in range(1, 3):
            assert await store.run(Call(COUNT, ("k",))) == turn
            for process in processes_of(tmp_path):
                process.kill()
            await eventually(lambda n=turn: len(news) == n, within=5)  # type: ignore[misc]
        assert await store.run(Call(COUNT, ("k",))) == 3


async def test_two_stores_share_the_embedded_server(tmp_path: Path) -> None:
    async with await Store.open(None, tmp_path) as one:
        async with await Store.open(None, tmp_path) as two:
            assert [await one.run(Call(COUNT, ("k",))), await two.run(Call(COUNT, ("k",)))] == [1, 2]
        assert await one.run(Call(COUNT, ("k",))) == 3


def test_it_runs_on_uvloop(tmp_path: Path) -> None:
    async def use() -> None:
        async with await Store.open(None, tmp_path) as store:
            await store.health()
            counts = await asyncio.gather(*(store.run(Call(COUNT, ("k",))) for _ in range(1_000)))
            assert counts == list(range(1, 1_001))

    uvloop.run(use())


async def test_a_server_that_is_not_there_yet_is_waited_for_a_moment(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    server.kill()
    opening = asyncio.create_task(Store.open(server.url, tmp_path))
    await asyncio.sleep(0)
    server.start()
    async with await opening as store:
        assert await store.run(Call(COUNT, ("k",))) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://u:s3cret@127.0.0.1:{port}", r"^Redis at 127\.0\.0\.1:{port} cannot be reached: .*"),
        ("redis+cluster://u:s3cret@127.0.0.1:{port}", r"^Redis at 127\.0\.0\.1:{port} cannot be reached: .*"),
        ("unix:///nowhere/s", "^Redis at /nowhere/s cannot be reached: No such file or directory"),
        ("redis://u:s3cret@h:x", r"^the address of Redis \(TOLLGATE_REDIS_URL\) is wrong: .*no port"),
        ("rediss://u:s3cret@h?ssl_ca_certs=/nowhere", "TLS options of rediss://h:6379/0 .*: No such file"),
    ],
)
async def test_what_cannot_be_opened_is_told_in_one_line_without_its_password(
    url: str, message: str, tmp_path: Path
) -> None:
    port = str(free_port())
    with pytest.raises(StoreError, match=message.replace("{port}", port)) as caught:
        await Store.open(url.replace("{port}", port), tmp_path)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_health_sees_a_frozen_server_while_nobody_calls(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    async with await Store.open(server.url, tmp_path, deadline=0.1) as store:
        server.freeze()
        with pytest.raises(StoreTimeout):
            await store.health()
        assert store.state is BreakerState.CLOSED
        server.thaw()
        await store.health()


async def test_an_open_breaker_answers_with_the_cause(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    async with await Store.open(server.url, tmp_path) as store:
        server.ask("CONFIG", "SET", "maxmemory", "1")
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await store.run(Call(COUNT, ("k",)))
        with pytest.raises(StoreUnavailable, match="OOM") as caught:
            await store.run(Call(COUNT, ("k",)))
        assert not caught.value.may_have_run


async def test_the_control_client_gives_up_in_time_and_tries_once(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    async with await Store.open(server.url, tmp_path, control_timeout=0.2) as store:
        await store.redis.incr("k")
        server.freeze()
        async with asyncio.timeout(WITHIN):
            with pytest.raises(Exception, match="Timeout"):
                await store.redis.incr("k")
        server.thaw()
        await eventually(lambda: server.ask("GET", "k") == "$1\r\n2\r\n")
        assert await store.redis.get("k") == b"2"


async def test_closing_ends_what_is_pending(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    store = await Store.open(server.url, tmp_path)
    server.freeze()
    pending = store.run(Call(COUNT, ("k",)), deadline=WITHIN)
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreUnavailable, match="is not used any more"):
        await pending


async def test_a_cancelled_open_leaves_nothing(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    server.freeze()
    opening = asyncio.create_task(Store.open(server.url, tmp_path))
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_tls(start_server: StartServer, tmp_path: Path) -> None:
    if not _speaks_tls(binaries(tmp_path)[0]):
        pytest.skip("the redis-server on the PATH, if any, was built without TLS")
    certificate, key = _certificate(tmp_path)
    port = free_port()
    start_server(
        *("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key), *("--tls-auth-clients", "no")
    )
    for options in (
        f"ssl_ca_certs={certificate}",
        "ssl_cert_reqs=none",
        f"ssl_ca_certs={certificate}&ssl_check_hostname=false",
    ):
        async with await Store.open(f"rediss://127.0.0.1:{port}/2?{options}", tmp_path, deadline=5) as store:
            await store.run(Call(COUNT, ("k",)))
            assert await store.redis.get("k") is not None
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        await Store.open(f"rediss://127.0.0.1:{port}", tmp_path)


def _speaks_tls(program: str) -> bool:
    return b"libssl" in Path(program).read_bytes()


def _certificate(folder: Path) -> tuple[str, str]:
    """Paths of a new self-signed certificate for 127.0.0.1 and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return str(folder / "cert.pem"), str(folder / "key.pem")


async def test_a_call_that_begins_as_its_connection_goes_gets_its_error(
    start_server: StartServer, tmp_path: Path
) -> None:
    """Hazard: until the loss is noticed everywhere, the connection raised into whoever began a call."""
    server = start_server()
    async with await Store.open(server.url, tmp_path) as store:
        assert await store.run(Call(COUNT, ("k",))) == 1
        server.kill()
        for _ in range(20):
            reply = store.run(Call(COUNT, ("k",)), deadline=WITHIN)
            with pytest.raises(StoreUnavailable):
                await reply


async def test_an_unknown_script_runs_once_also_where_nobody_waits(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    async with await Store.open(server.url, tmp_path) as store:
        replies = [store.run(Call(COUNT, ("k",))) for _ in range(2)]
        await asyncio.wait(replies)
        server.ask("SCRIPT", "FLUSH")
        replies += [store.run(Call(COUNT, ("k",))) for _ in range(2)]
        await asyncio.wait(replies)
        assert [reply.result() for reply in replies] == [1, 2, 3, 4]


async def test_a_reply_that_nobody_waits_for_any_more_is_dropped(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    async with await Store.open(server.url, tmp_path) as store:
        assert await store.run(Call(COUNT, ("k",))) == 1
        given_up = store.run(Call(COUNT, ("k",)))
        given_up.cancel()
        assert await store.run(Call(COUNT, ("k",))) == 3, "it took the reply to another call"


async def test_the_first_call_of_a_script_is_not_overtaken_by_what_is_sent_after_it(tmp_path: Path) -> None:
    """Hazard: a place is given back by a script that the node has to be sent first, and asked for again meanwhile."""
    known = Script("known", b"return redis.call('RPUSH', KEYS[1], ARGV[1])")
    new = Script("new", b"return redis.call('RPUSH', KEYS[1], ARGV[1]) -- which nobody has run yet")
    async with await Store.open(None, tmp_path) as store:
        await store.run(Call(known, ("k",), ("before",)))
        await asyncio.gather(store.run(Call(new, ("k",), ("first",))), store.run(Call(known, ("k",), ("second",))))
        assert await store.redis.lrange("k", 0, -1) == [b"before", b"first", b"second"]
        await store.redis.script_flush()
        assert await store.run(Call(new, ("k",), ("again",))) == 4
