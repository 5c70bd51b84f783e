"""The service for apps, the customers: create, list, suspend."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from middlewares.auth.keys import hash_secret, mint_client_secret, new_id
from middlewares.auth.records import AppRecord, RecordRef
from proxy.control.records import APPS, Client, Records


class Apps:
    """Makes, finds and changes apps."""

    def __init__(self, client: Client, pepper: bytes | None) -> None:
        self._client = client
        self._pepper = pepper
        self._records = Records(client, AppRecord)

    async def create(self, name: str, plan: str, *, tier: str | None = None) -> tuple[AppRecord, str]:
        """Create an app. Return it and its client secret, which is not stored. The caller checks the plan."""
        text, secret = mint_client_secret()
        app = AppRecord(
            client_id=f"app_{new_id()}",
            name=name,
            plan=plan,
            created_at=datetime.now(UTC),
            secret_hash=hash_secret(secret, self._pepper),
            tier=tier,
        )
        await self._client.sadd(APPS, app.client_id)
        await self._records.add(app)
        return app, text

    async def get(self, client_id: str) -> AppRecord | None:
        return await self._records.get(RecordRef("app", client_id))

    async def require(self, client_id: str) -> AppRecord:
        """Return the app. Raises `UnknownRecord`."""
        return await self._records.require(RecordRef("app", client_id))

    async def list(self) -> list[AppRecord]:
        """Return all apps, oldest first."""
        ids = [client_id.decode() async for client_id in self._client.sscan_iter(APPS, count=1_000)]
        return await self._records.several([RecordRef("app", client_id) for client_id in dict.fromkeys(ids)])

    async def set_status(self, client_id: str, status: Literal["active", "suspended"]) -> AppRecord:
        """Suspend or resume an app. Raises `UnknownRecord`."""
        return await self._records.change(RecordRef("app", client_id), lambda app: replace(app, status=status))
