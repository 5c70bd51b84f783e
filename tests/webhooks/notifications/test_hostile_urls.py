"""Hazards: a URL that names this machine in any spelling, by a name, by a redirect, or a moment later."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.notifications import NotificationSettings
from config.settings import Settings
from proxy.control.sealed_secrets import SealedSecrets
from proxy.control.webhook_endpoints import SigningSecret, WebhookEndpoint
from proxy.history.store import History
from proxy.store.store import Store
from proxy.webhooks.notifications.sender import WebhookSender
from proxy.webhooks.notifications.service import UnusableWebhook, WebhookService
from tests.identity.test_public_addresses import PRIVATE, Listener, resolve_to
from tests.webhooks.notifications.conftest import LOCAL
from tests.webhooks.notifications.receiver import Receiver

SPELLINGS = (
    *("127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "127.1", "0"),
    *("[::ffff:127.0.0.1]", "[::1]", "[::]", "[64:ff9b::7f00:1]", "0.0.0.0", "127.0.0.1.", "LOCALHOST"),
)
REFUSED = (
    *("http://hooks.example/", "ftp://hooks.example/", "https://", "https:///x", "file:///etc/passwd", "not a url"),
    *("https://user@hooks.example/", "https://user:word@hooks.example/", "https://hooks.example/#part"),
    *("https://" + "a" * 2_000 + ".example/", "https://[::1", "//hooks.example/", "gopher://127.0.0.1:6379/_"),
    *("https://hooks.example:0/", "https://hooks.example:-1/", "https://hooks.example:65536/"),
    *("https://hooks.example:99999999999999999999/", "https://xn--a/"),
)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    async with await asyncio.start_server(listener.respond, "127.0.0.1", 0) as server:
        listener.port = server.sockets[0].getsockname()[1]
        yield listener


def endpoint(sealed: SealedSecrets, url: str) -> WebhookEndpoint:
    """Return an endpoint as it would stand in Redis, whatever its URL."""
    secret = SigningSecret(sealed.seal("whsec_c2VjcmV0IG9mIGEgdGVzdA=="))
    return WebhookEndpoint("a" * 16, "app_aaaaaaaaaaaaaaaa", url, datetime.now(UTC), (secret,))


async def test_no_spelling_of_this_machine_is_connected_to(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = SealedSecrets(tmp_path)
    sender = WebhookSender(NotificationSettings(), sealed)
    for host in SPELLINGS:
        for scheme in ("https", "http"):
            url = f"{scheme}://{host}:{listener.port}/"
            outcome = await sender.send(endpoint(sealed, url), "msg_1", "{}")
            assert (outcome.status, bool(outcome.error)) == (0, True), url
    for addresses in (["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], *([address] for address in PRIVATE)):
        with monkeypatch.context() as patched:
            resolve_to(patched, *addresses)
            url = f"https://hooks.example:{listener.port}/"
            outcome = await sender.send(endpoint(sealed, url), "msg_1", "{}")
            assert "not public" in outcome.error, addresses
    await sender.close()
    assert listener.connections == 0
    print(f"{2 * len(SPELLINGS)} spellings and {2 + len(PRIVATE)} resolutions: {listener.connections} connections")


async def test_a_name_that_means_something_else_a_moment_later_is_resolved_once(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: DNS rebinding. The address that was checked is the one that is connected to."""
    sealed = SealedSecrets(tmp_path)
    settings = NotificationSettings.model_validate(LOCAL)
    sender = WebhookSender(settings, sealed, tls=receiver.client_tls)
    asked = 0
    real = socket.getaddrinfo

    def rebinding(host: object, *args: object, **kwargs: object) -> object:
        nonlocal asked
        asked += str(host) == "localhost"
        return real("10.255.255.1" if asked > 1 else host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert (await sender.send(endpoint(sealed, receiver.url), "msg_1", "{}")).status == 200
    assert (asked, receiver.connections) == (1, 1)
    await sender.close()


async def test_redirects_are_not_followed(receiver: Receiver, listener: Listener, tmp_path: Path) -> None:
    sealed = SealedSecrets(tmp_path)
    settings = NotificationSettings.model_validate(LOCAL)
    sender = WebhookSender(settings, sealed, tls=receiver.client_tls)
    receiver.location = f"http://127.0.0.1:{listener.port}/"
    for receiver.status in (301, 302, 303, 307, 308):
        outcome = await sender.send(endpoint(sealed, receiver.url), "msg_1", "{}")
        assert (outcome.status, outcome.error) == (receiver.status, f"status {receiver.status} instead of 2xx")
    await sender.close()
    assert listener.connections == 0


async def test_no_cookie_of_a_receiver_is_kept(receiver: Receiver, tmp_path: Path) -> None:
    """Hazard: receivers of several tenants at one address, as behind a CDN, where one sets the cookies of the other."""
    sealed = SealedSecrets(tmp_path)
    sender = WebhookSender(NotificationSettings.model_validate(LOCAL), sealed, tls=receiver.client_tls)
    receiver.cookie = "session=of-another-tenant; Path=/"
    for _ in range(2):
        assert (await sender.send(endpoint(sealed, receiver.url), "msg_1", "{}")).status == 200
    assert (receiver.connections, receiver.cookies) == (2, [])
    await sender.close()


async def test_what_cannot_be_connected_to_fails_its_attempt_and_no_more(receiver: Receiver, tmp_path: Path) -> None:
    """Hazard: an attempt that raises is never counted, so that it is made again every second for ever."""
    sealed = SealedSecrets(tmp_path)
    sender = WebhookSender(NotificationSettings.model_validate(LOCAL), sealed, tls=receiver.client_tls)
    hosts = ("localhost:70000", "localhost:99999999999999999999", "127.0.0.1:70000", "xn--a", "[::1%25lo]:70000")
    for host in hosts:
        outcome = await sender.send(endpoint(sealed, f"https://{host}/"), "msg_1", "{}")
        assert (outcome.status, bool(outcome.error)) == (0, True), host
    receiver.status, receiver.location = 302, "https://xn--a/"
    assert (await sender.send(endpoint(sealed, receiver.url), "msg_1", "{}")).error
    await sender.close()


async def test_what_can_never_be_sent_to_is_not_registered(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    history = History.of(settings)
    service = WebhookService(settings, store.redis, history)
    literal = [f"https://{f'[{each}]' if ':' in each else each}/" for each in PRIVATE]
    for url in (*REFUSED, *literal):
        with pytest.raises(UnusableWebhook):
            await service.create("app_aaaaaaaaaaaaaaaa", url)
    assert await service.all("app_aaaaaaaaaaaaaaaa") == []
    created, _ = await service.create("app_aaaaaaaaaaaaaaaa", "https://hooks.example/")
    with pytest.raises(UnusableWebhook):
        await service.change("app_aaaaaaaaaaaaaaaa", created.webhook_id, {"url": "https://127.0.0.1/"})
    for _ in range(settings.notifications.endpoints - 1):
        await service.create("app_aaaaaaaaaaaaaaaa", "https://hooks.example/")
    with pytest.raises(UnusableWebhook, match="10 endpoints"):
        await service.create("app_aaaaaaaaaaaaaaaa", "https://hooks.example/")
    await history.close()


async def test_a_secret_of_another_machine_is_an_error_that_says_what_to_do(receiver: Receiver, tmp_path: Path) -> None:
    settings = NotificationSettings.model_validate(LOCAL)
    sender = WebhookSender(settings, SealedSecrets(tmp_path / "here"), tls=receiver.client_tls)
    outcome = await sender.send(endpoint(SealedSecrets(tmp_path / "there"), receiver.url), "msg_1", "{}")
    assert "rotate it" in outcome.error
    assert receiver.connections == 0
    await sender.close()
