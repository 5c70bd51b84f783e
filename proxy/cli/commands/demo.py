"""`tollgate demo`: everything on one machine, with a mock gateway and lines to paste."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shlex
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from config.loader import CONFIG_VARIABLE, load
from config.settings import Settings
from proxy.cli.commands.serve import override, run
from proxy.cli.demo.plans import PLANS

if TYPE_CHECKING:
    from proxy.mock_gateway.gateway import Hooks


def demo() -> None:
    """Run Tollgate in front of a mock gateway, with two tenants and a week of their traffic, until Ctrl-C."""
    settings = load()
    brings_plans = not settings.plans
    if brings_plans:
        override(plans=json.dumps(PLANS))
    if "TOLLGATE_LISTEN" not in os.environ and not _free(settings.listen):
        override(listen="127.0.0.1:0")
    with _reserved_port() as gateway, _reserved_port() as private:
        if "TOLLGATE_ADMIN_LISTEN" not in os.environ and not _free(settings.admin_listen):
            override(admin_listen=f"127.0.0.1:{private.getsockname()[1]}")
        if settings.webhooks.secret is None:
            override(webhooks__secret=secrets.token_urlsafe(32))
        port = gateway.getsockname()[1]
        override(gateway_url=f"http://127.0.0.1:{port}")
        settings = load()

        async def listening(origin: str) -> None:
            from proxy.cli.demo.furnish import furnish  # noqa: PLC0415 - slow to import
            from proxy.mock_gateway.server import MockGateway  # noqa: PLC0415 - only the demo and the tests need it

            logging.getLogger("httpx").setLevel(logging.WARNING)  # the mock's heartbeats
            await MockGateway(hooks=_hooks(settings)).start(port=port)
            config = _keep_plans(settings.data_dir) if brings_plans and not os.environ.get(CONFIG_VARIABLE) else None
            typer.echo(_greeting(origin, config, *await furnish(settings, origin)))

        run(settings, listening)


def _hooks(settings: Settings) -> Hooks:
    """Return the webhooks of a gateway that meters live streams."""
    from proxy.mock_gateway.gateway import Hooks  # noqa: PLC0415 - as above

    secret = settings.webhooks.secret.get_secret_value() if settings.webhooks.secret else ""
    private = f"http://{settings.admin_listen}"
    return Hooks(
        live_auth_url=f"{private}/webhooks/live/auth",
        live_auth_key=secret,
        heartbeat_url=f"{private}/webhooks/live/heartbeat",
        heartbeat_headers={"Authorization": secret},
        heartbeat_interval=settings.webhooks.tick_seconds,
    )


def _keep_plans(folder: Path) -> Path:
    """Write the plans of the demo into a configuration file; other commands beside it would not know of them."""
    file = folder.absolute() / "demo.yaml"
    file.write_text(json.dumps({"plans": PLANS}, indent=2) + "\n")  # JSON is YAML
    return file


def _greeting(origin: str, config: Path | None, key: str, link: str, operator_link: str) -> str:
    """Return what to look at and what to paste; `config` is the file with the plans that the demo brings."""
    known = (
        f"  export {CONFIG_VARIABLE}={shlex.quote(str(config))}  # its plans, for `tollgate` commands\n"
        if config
        else ""
    )
    text_to_image = '{"model_id":"stabilityai/sdxl-turbo","prompt":"a toll gate in the mist","width":64,"height":64}'
    llm = (
        '{"model":"meta-llama/Meta-Llama-3.1-8B-Instruct","max_tokens":64,"stream":true,'
        '"messages":[{"role":"user","content":"Say hello."}]}'
    )
    json = "-H 'Content-Type: application/json'"
    return f"""
The portal, in a browser; the link signs you in as the owner of the demo's app, once and soon:

{origin}{link}

The same for whoever runs the house; each link in a browser window of its own, for one window has one session:

{origin}{operator_link}

Tollgate listens at {origin} in front of a mock of a Livepeer gateway. To paste:

  export KEY={key}
{known}
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
