"""A wallet, as people have one: it writes messages of EIP-4361 and signs them by `personal_sign`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

AUTH = "/api/v1/auth"
NONCE, LOGIN = f"{AUTH}/siwe/nonce", f"{AUTH}/siwe/login"


@dataclass(frozen=True)
class Wallet:
    """A key pair of its own."""

    account: LocalAccount = field(default_factory=Account.create)

    @property
    def address(self) -> str:
        """Return the address with its checksum."""
        return str(self.account.address)

    def sign(self, message: str) -> str:
        """Return the signature of a message, as wallets return it."""
        signed = Account.sign_message(encode_defunct(text=message), self.account.key)
        return "0x" + bytes(signed.signature).hex()

    def message(self, challenge: Mapping[str, Any], **changed: str | None) -> str:
        """Return the message for what the server wants it to say; a field that is None is left out."""
        fields: dict[str, str | None] = {
            "domain": challenge["domain"],
            "address": self.address,
            "statement": challenge["statement"],
            "uri": challenge["uri"],
            "version": challenge["version"],
            "chain_id": str(challenge["chain_ids"][0]),
            "nonce": challenge["nonce"],
            "issued_at": moment(),
            "expiration_time": None,
            "not_before": None,
            "request_id": None,
            "resources": None,
            **changed,
        }
        return written(fields)

    async def challenge(self, http: httpx.AsyncClient, **headers: str) -> dict[str, Any]:
        """Return what the server wants a message to say."""
        response = await http.post(NONCE, headers=headers)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def sign_in(self, http: httpx.AsyncClient, invite: str | None = None) -> httpx.Response:
        """Sign in as a page would."""
        message = self.message(await self.challenge(http))
        body = {"message": message, "signature": self.sign(message)}
        return await http.post(LOGIN, json=body if invite is None else body | {"invite": invite})


def moment(at: datetime | None = None) -> str:
    """Return a time as JavaScript writes it."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def written(fields: Mapping[str, str | None]) -> str:
    """Return a message with these fields."""
    lines = [f"{fields['domain']} wants you to sign in with your Ethereum account:", fields["address"], ""]
    lines += [fields["statement"], ""] if fields["statement"] is not None else [""]
    for name, member in NAMES.items():
        if fields[member] is not None:
            lines.append(f"{name}: {fields[member]}")
    if fields["resources"] is not None:
        lines += ["Resources:", *(f"- {each}" for each in fields["resources"].split())]
    return "\n".join(str(line) for line in lines)


NAMES = {
    "URI": "uri",
    "Version": "version",
    "Chain ID": "chain_id",
    "Nonce": "nonce",
    "Issued At": "issued_at",
    "Expiration Time": "expiration_time",
    "Not Before": "not_before",
    "Request ID": "request_id",
}
