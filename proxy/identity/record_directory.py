"""Looks up records for auth on the request path: over the store's own channel, under its deadline."""

from importlib.resources import files

from middlewares.auth.records import AppRecord, KeyRecord, RecordRef, UserRecord
from middlewares.store import Call, Script, ScriptRunner
from proxy.control.records import AnyRecord, decode, name_of

_RECORD = Script("record", (files(__package__) / "lua" / "record.lua").read_bytes(), writes=False)


class RecordDirectory:
    """`middlewares.auth.ports.Directory` over the store."""

    def __init__(self, store: ScriptRunner) -> None:
        self._store = store

    async def key(self, key_id: str) -> KeyRecord | None:
        return await self._get(RecordRef("key", key_id), KeyRecord)

    async def app(self, client_id: str) -> AppRecord | None:
        return await self._get(RecordRef("app", client_id), AppRecord)

    async def user(self, app: str, user_id: str) -> UserRecord | None:
        return await self._get(RecordRef("user", f"{app}/{user_id}"), UserRecord)

    async def token_revoked(self, token_id: str) -> bool:
        return await self._store.run(Call(_RECORD, (name_of(RecordRef("token", token_id)),))) is not None

    async def _get(self, ref: RecordRef, kind: type[AnyRecord]) -> AnyRecord | None:
        document = await self._store.run(Call(_RECORD, (name_of(ref),)))
        return None if document is None else decode(document, kind, ref)
