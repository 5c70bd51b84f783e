"""Transcoding and recordings: whether a stream may be pushed, or a recording be read (`-authWebhookUrl`)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from config.workloads import Workload
from middlewares.exchange import Principal, Refusal
from middlewares.stream_scope import check_stream
from middlewares.tenancy.names import at_gateway, for_caller, owner_and_name
from proxy.identity.principal_resolver import PrincipalResolver
from proxy.webhooks.requests import NAME, credential_of, query_of


class PushWebhooks:
    """Decides about manifests."""

    def __init__(self, principals: PrincipalResolver, *, rtmp: bool) -> None:
        """`rtmp`: True if customers may push by RTMP, which is not metered."""
        self._principals = principals
        self._rtmp = rtmp

    async def authorise(self, url: str) -> dict[str, Any] | None:
        """Return the manifest for this URL; None: the one that the URL names. Raises `Refusal`, `StoreError`.

        What is pushed or read through the proxy has its owner in its name and is paid for there. Such a push brings
        its profiles, and a response with others would be an error (gateway contract section 3). RTMP does not pass
        through the proxy, so its URL has an API key and gets its profiles here.
        """
        try:
            parts = urlsplit(url)
        except ValueError:  # a host in brackets that is no address, or one that Unicode makes into something else
            raise _elsewhere() from None
        match parts.path.split("/"):
            case ["", "live" | "recordings", manifest, _] if parts.scheme != "rtmp":
                await self._check_owner(manifest)
                return {"manifestID": manifest} if parts.path.startswith("/recordings/") else None
            case [*_, name] if parts.scheme == "rtmp" and self._rtmp:
                return await self._rtmp_stream(name, query_of(parts.query))
        raise _elsewhere()

    async def _check_owner(self, manifest: str) -> None:
        owner = owner_and_name(manifest)
        if owner is None or not NAME.fullmatch(manifest):
            raise Refusal(403, "invalid_parameter", "The manifest has no owner; push it through Tollgate.")
        await self._principals.again(owner[0], None, None, None, Workload.TRANSCODING)

    async def _rtmp_stream(self, name: str, query: dict[str, str]) -> dict[str, Any]:
        credential = credential_of(query)
        principal = await self._principals.by_credential(credential or name.encode(), Workload.TRANSCODING)
        manifest = _manifest(principal, name if credential else "")
        check_stream(principal, manifest)
        profiles = [profile.as_gateway() for profile in principal.plan.transcoding.profiles]
        return {"manifestID": manifest} | ({"profiles": profiles} if profiles else {})


def _elsewhere() -> Refusal:
    return Refusal(403, "invalid_parameter", "Streams are pushed, and recordings read, through Tollgate only.")


def _manifest(principal: Principal, name: str) -> str:
    """Return the stream's name in its owner's namespace; without a name, the API key's id stands for it."""
    manifest = for_caller(principal.app, name) if name else at_gateway(principal.app, principal.key or "rtmp")
    if manifest is None or not NAME.fullmatch(manifest):
        raise Refusal(403, "invalid_parameter", "The stream's name is not valid, or belongs to another app.")
    return manifest
