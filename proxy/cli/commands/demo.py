"""`tollgate demo`: everything on one machine, with a mock gateway and lines to paste."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from datetime import timedelta

import typer

from config.loader import load
from config.settings import Settings
from middlewares.auth.keys import pepper_of
from proxy.cli.commands.serve import override, run

DEMO_APP = "demo"
DEMO_PLAN = "standard"
DEMO_WALLET = "0x000000000000000000000000000000000000dead"
"""Wallet of the developer whom the demo lets into the portal; nobody has its key, so that nobody signs in with it."""


def demo() -> None:
    """Run Tollgate in front of a mock gateway, with a demo app and key, until Ctrl-C."""
    settings = load()
    for name in ("listen", "admin_listen"):
        if f"TOLLGATE_{name.upper()}" not in os.environ and not _free(getattr(settings, name)):
            override(**{name: "127.0.0.1:0"})
    with _reserved_port() as gateway:
        port = gateway.getsockname()[1]
        override(gateway_url=f"http://127.0.0.1:{port}")
        settings = load()

        async def listening(origin: str) -> None:
            from proxy.mock_gateway.server import MockGateway  # noqa: PLC0415 - only the demo and the tests need it

            await MockGateway().start(port=port)
            typer.echo(_greeting(origin, *await _demo_credentials(settings)))

        run(settings, listening)


async def _demo_credentials(settings: Settings) -> tuple[str, str]:
    """Return a new key of the app named `demo`, and the path of a link by which its owner signs in to the portal.

    The app is created if it does not exist.
    """
    from proxy.control.api_keys import ApiKeys  # noqa: PLC0415
    from proxy.control.apps import Apps  # noqa: PLC0415
    from proxy.control.developers.developers import Developers  # noqa: PLC0415
    from proxy.control.developers.memberships import Memberships  # noqa: PLC0415
    from proxy.control.developers.sign_in_links import SIGN_IN_PATH, SignInLinks  # noqa: PLC0415
    from proxy.store.configured import open_store  # noqa: PLC0415

    pepper = pepper_of(settings.auth)
    async with await open_store(settings) as store:
        apps = Apps(store.redis, pepper)
        app = next((each for each in await apps.list() if each.name == DEMO_APP), None)
        if app is None:
            app, _ = await apps.create(DEMO_APP, DEMO_PLAN)
        _, key = await ApiKeys(store.redis, pepper).create(app.client_id, name="demo")
        owner, _ = await Developers(store.redis).create(DEMO_WALLET)
        await Memberships(store.redis).put(app.client_id, owner.developer_id, "owner")
        lifetime = timedelta(seconds=settings.portal.link_seconds)
        _, secret = await SignInLinks(store.redis, pepper).create(owner.developer_id, lifetime)
        return key, SIGN_IN_PATH + secret


def _greeting(origin: str, key: str, link: str) -> str:
    text_to_image = '{"model_id":"stabilityai/sdxl-turbo","prompt":"a toll gate in the mist","width":64,"height":64}'
    llm = (
        '{"model":"meta-llama/Meta-Llama-3.1-8B-Instruct","max_tokens":64,"stream":true,'
        '"messages":[{"role":"user","content":"Say hello."}]}'
    )
    json = "-H 'Content-Type: application/json'"
    return f"""
Tollgate listens at {origin} in front of a mock of a Livepeer gateway.

The portal, in a browser; the link signs you in as the owner of the demo's app, once and soon:

{origin}{link}

To paste:

  export KEY={key}

  # an image (the response links to a file that Tollgate serves, too)
  curl -sS {origin}/text-to-image -H "Authorization: Bearer $KEY" {json} -d '{text_to_image}'

  # a chat, streamed
  curl -sSN {origin}/llm -H "X-Api-Key: $KEY" {json} -d '{llm}'

  # what limits apply, and what is left of them
  curl -sSi {origin}/text-to-image -H "Authorization: Bearer $KEY" {json} -d '{text_to_image}' | grep -i ratelimit

  # without a key
  curl -sSi {origin}/llm -d '{{}}'

Ctrl-C stops everything.
"""


def _free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError:
            return False
    return True


def _reserved_port() -> socket.socket:
    """Return a socket that reserves a free port for listeners that allow reuse, as those of asyncio do."""
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation
