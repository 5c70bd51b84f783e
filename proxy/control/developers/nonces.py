"""The service for nonces of sign-in messages: each is good once, soon, and there are only so many."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from middlewares.client_network import client_network
from proxy.control.records import Client

_BYTES = 16
_NAME = "tollgate:{nonces}"
_LUA = files(__package__) / "lua"
_ISSUE = (_LUA / "issue_nonce.lua").read_text()
_TAKE = (_LUA / "take_nonce.lua").read_text()


class TooManyNonces(Exception):
    """So many nonces wait to be used that no other is issued."""

    def __init__(self, *, of_client: bool) -> None:
        super().__init__("of this client" if of_client else "of all clients")
        self.of_client = of_client


@dataclass(frozen=True, slots=True)
class Nonce:
    """A nonce, and until when it may be used, by the clock of Redis."""

    text: str
    issued_at: datetime
    expires_at: datetime


class Nonces:
    """Issues nonces and takes them back. All are in one slot, so that each is one atomic call."""

    def __init__(self, client: Client, *, seconds: int, most: int, most_per_client: int) -> None:
        self._client = client
        self._milliseconds = seconds * 1_000
        self._most = most
        self._most_per_client = most_per_client

    async def issue(self, address: str) -> Nonce:
        """Return a new nonce of 128 random bits for the client at `address`. Raises `TooManyNonces`."""
        text = secrets.token_hex(_BYTES)
        names = (f"{_NAME}:all", f"{_NAME}:of:{client_network(address)}", f"{_NAME}:{text}")
        reply: Any = await self._client.eval(
            _ISSUE, len(names), *names, text, self._milliseconds, self._most, self._most_per_client
        )
        if reply < 0:
            raise TooManyNonces(of_client=reply == -1)
        return Nonce(text, _moment(reply), _moment(reply + self._milliseconds))

    async def take(self, text: str) -> datetime | None:
        """Use up a nonce. Return the time by the clock of Redis for the first who does; None for everyone else."""
        if len(text) != 2 * _BYTES:
            return None
        reply: Any = await self._client.eval(_TAKE, 2, f"{_NAME}:all", f"{_NAME}:{text}", text)
        return None if reply is None else _moment(reply)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)
