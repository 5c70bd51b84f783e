"""`tollgate demo`: everything on one machine, with a mock gateway and lines to paste."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import typer

from config.loader import load
from config.settings import Settings
from middlewares.auth.keys import pepper_of
from proxy.cli.commands.serve import override, run

DEMO_APP = "demo"
DEMO_PLAN = "standard"


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
            typer.echo(_greeting(origin, await _demo_key(settings)))

        run(settings, listening)


async def _demo_key(settings: Settings) -> str:
    """Return a new key of the app named `demo`, which is created if it does not exist."""
    from proxy.control.api_keys import ApiKeys  # noqa: PLC0415
    from proxy.control.apps import Apps  # noqa: PLC0415
    from proxy.store.configured import open_store  # noqa: PLC0415

    pepper = pepper_of(settings.auth)
    async with await open_store(settings) as store:
        apps = Apps(store.redis, pepper)
        app = next((each for each in await apps.list() if each.name == DEMO_APP), None)
        if app is None:
            app, _ = await apps.create(DEMO_APP, DEMO_PLAN)
        _, key = await ApiKeys(store.redis, pepper).create(app.client_id, name="demo")
        return key


def _greeting(origin: str, key: str) -> str:
    text_to_image = '{"model_id":"stabilityai/sdxl-turbo","prompt":"a toll gate in the mist","width":64,"height":64}'
    llm = (
        '{"model":"meta-llama/Meta-Llama-3.1-8B-Instruct","max_tokens":64,"stream":true,'
        '"messages":[{"role":"user","content":"Say hello."}]}'
    )
    json = "-H 'Content-Type: application/json'"
    return f"""
Tollgate listens at {origin} in front of a mock of a Livepeer gateway.

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
