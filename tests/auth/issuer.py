"""An identity provider for tests: real keys, real tokens, an HTTP server for its key set."""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://idp.example"
AUDIENCE = "tollgate"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the RSA key of that name, always the same."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    """Return the JSON Web Key of a key's public half."""
    public: Any = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        return {**RSAAlgorithm.to_jwk(public, as_dict=True), **members}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {**ECAlgorithm.to_jwk(public, as_dict=True), **members}
    return {**OKPAlgorithm.to_jwk(public, as_dict=True), **members}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Return valid claims with changes; a change to None leaves a claim out."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 86_400}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(
    payload: Mapping[str, Any] | None = None,
    *,
    key: PrivateKey | None = None,
    algorithm: str = "RS256",
    kid: str | None = "k1",
    **header: Any,
) -> bytes:
    """Return a signed token."""
    if kid is not None:
        header["kid"] = kid
    return jwt.encode(dict(payload or claims()), key or rsa_key(), algorithm, headers=header).encode()


def encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def signed(header: bytes, payload: bytes) -> bytes:
    """Return a token of exactly these bytes, with a valid RS256 signature."""
    body = encoded(header) + b"." + encoded(payload)
    return body + b"." + encoded(RSAAlgorithm(RSAAlgorithm.SHA256).sign(body, rsa_key()))


class KeySetServer:
    """Serves a key set by HTTP, and other documents by path; counts requests. It can be frozen, stopped and started."""

    def __init__(self, document: bytes) -> None:
        self.document = document
        self.others: dict[str, bytes] = {}
        self.status = "200 OK"
        self.location = ""
        """Where responses redirect to, if their status says so; empty: to the key set."""
        self.fetched: list[tuple[str, float]] = []
        """Path and time of each request."""
        self.port = 0
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._server: asyncio.Server | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/jwks.json"

    @property
    def fetches(self) -> int:
        """Return how often the key set was requested."""
        return sum(path == "/jwks.json" for path, _ in self.fetched)

    def gaps(self) -> list[float]:
        """Return the seconds between one request for the key set and the next."""
        times = [moment for path, moment in self.fetched if path == "/jwks.json"]
        return [later - earlier for earlier, later in pairwise(times)]

    def discoverable(self, **changes: Any) -> None:
        """Serve a discovery document, too."""
        document = {"issuer": self.origin, "jwks_uri": self.url, **changes}
        self.others["/.well-known/openid-configuration"] = json.dumps(document).encode()

    def freeze(self) -> None:
        """Take connections and requests, and respond to none."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._respond, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.thaw()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        self.fetched.append((path, time.monotonic()))
        await self._thawed.wait()
        document = self.others.get(path, self.document)
        lines = f"HTTP/1.1 {self.status}\r\nLocation: {self.location or self.url}\r\nConnection: close\r\n"
        writer.write(f"{lines}Content-Length: {len(document)}\r\n\r\n".encode() + document)
        try:
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
