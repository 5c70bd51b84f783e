"""The URL of the store (`TOLLGATE_REDIS_URL`), parsed into an address that never shows its password."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import unquote

REDIS_PORT = 6379
SENTINEL_PORT = 26379

SCHEMES = "redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://"
OPTIONS = frozenset(
    {"db", "sentinel_username", "sentinel_password"}
    | {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
)


class Topology(StrEnum):
    """How many servers stand behind an address, and how the right one is found."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class AddressError(ValueError):
    """A store address that cannot be used; the message says why, and never repeats the address."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One listening socket: a TCP `host` and `port`, or the `path` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, default_port: int) -> Self:
        """Read `host`, `host:port`, `[v6]` or `[v6]:port`. Raises `AddressError`."""
        host, bracket, rest = text[1:].partition("]") if text.startswith("[") else ("", "", "")
        if not bracket:
            host, colon, port = text.partition(":")
            rest = colon + port
        port = rest.removeprefix(":")
        if not host or (rest and not rest.startswith(":")):
            raise AddressError(f"{text!r} is not host:port (IPv6 addresses stand in brackets)")
        if rest and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise AddressError(f"{text!r} has no port between 1 and 65535 after its colon")
        return cls(host, int(port) if rest else default_port)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An ACL user and password; a password alone belongs to the user `default`."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed store URL. `str()` and `repr()` give it back without user and password."""

    topology: Topology
    endpoints: tuple[Endpoint, ...]
    db: int = 0
    service: str = ""
    """Name of the monitored master; for sentinels only."""
    login: Credentials = Credentials()
    sentinel_login: Credentials = Credentials()
    tls: bool = False
    tls_options: dict[str, str] = field(default_factory=dict)
    """`ssl_*` options of the URL, named and meant as in redis-py."""

    def __str__(self) -> str:
        if self.endpoints[0].path:
            return f"unix://{self.endpoints[0]}"
        scheme = "rediss" if self.tls else "redis"
        scheme += "" if self.topology is Topology.SINGLE else f"+{self.topology}"
        hosts = ",".join(map(str, self.endpoints))
        path = f"{self.service}/{self.db}" if self.service else str(self.db)
        return f"{scheme}://{hosts}/{path}"

    __repr__ = __str__

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a store URL.

        `redis://[user:password@]host[:port][/db]` (`rediss://` with TLS), `unix://[user:password@]/path[?db=n]`,
        `redis+cluster://h1:p,h2:p/`, `redis+sentinel://h1:p,h2:p/service[/db]` (both also as `rediss+...`). User and
        password are percent-decoded. Raises `AddressError`.
        """
        scheme, separator, rest = url.partition("://")
        base, _, kind = scheme.partition("+")
        if not separator or base not in ("redis", "rediss", "unix") or kind not in ("", "cluster", "sentinel"):
            raise AddressError(f"it must start with {SCHEMES}")
        location, _, query = rest.partition("?")
        authority, _, path = location.partition("/")
        userinfo, _, hosts = authority.rpartition("@")
        if "@" in query or (authority and "@" in path):
            raise AddressError("characters like / ? @ in user or password must be percent-encoded (%2F %3F %40)")
        options = _options(query)
        login = _credentials(userinfo)
        if base == "unix":
            if kind or hosts or not path:
                raise AddressError("a unix socket is written unix:///path/of/the.sock, with three slashes")
            endpoint = Endpoint(path="/" + unquote(path))
            return cls(Topology.SINGLE, (endpoint,), db=_database(options.get("db", "")), login=login)
        topology = Topology(kind or Topology.SINGLE)
        service, database = _path(topology, path)
        return cls(
            topology,
            tuple(_endpoints(topology, hosts)),
            db=_database(options.get("db", database)),
            service=service,
            login=login,
            sentinel_login=Credentials(options.get("sentinel_username"), options.get("sentinel_password")),
            tls=base == "rediss",
            tls_options={name: value for name, value in options.items() if name.startswith("ssl_")},
        )

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS settings of a connection, or None where it is plain."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.tls_options.get("ssl_ca_certs"))
        if certificate := self.tls_options.get("ssl_certfile"):
            context.load_cert_chain(certificate, self.tls_options.get("ssl_keyfile"))
        verify = self.tls_options.get("ssl_cert_reqs", "required") != "none"
        context.check_hostname = verify and self.tls_options.get("ssl_check_hostname", "true").lower() != "false"
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
        return context


def _options(query: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    options = {name: unquote(value) for name, _, value in pairs}
    if not options.keys() <= OPTIONS:  # a stray & in a password lands here, so the names are not repeated
        raise AddressError(f"it has an unknown option; known are {', '.join(sorted(OPTIONS))}")
    return options


def _credentials(userinfo: str) -> Credentials:
    username, _, password = userinfo.partition(":")
    return Credentials(unquote(username) or None, unquote(password) or None)


def _endpoints(topology: Topology, hosts: str) -> Iterator[Endpoint]:
    if topology is Topology.SINGLE and "," in hosts:
        raise AddressError("several hosts need redis+cluster:// or redis+sentinel://")
    port = SENTINEL_PORT if topology is Topology.SENTINEL else REDIS_PORT
    for host in hosts.split(","):
        yield Endpoint.parse(host, port)


def _path(topology: Topology, path: str) -> tuple[str, str]:
    """Return the service name (sentinels only) and the database, as written."""
    if topology is Topology.SINGLE:
        return "", path
    if topology is Topology.CLUSTER:
        if path not in ("", "0"):
            raise AddressError("a cluster has only database 0, so its address ends after the hosts")
        return "", ""
    service, _, database = path.partition("/")
    if not service:
        raise AddressError("the name of the master is missing: redis+sentinel://host:26379/NAME")
    return unquote(service), database


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise AddressError(f"the database must be a number, not {text!r}")
    return int(text or 0)
