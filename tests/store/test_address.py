"""Store addresses: what is understood, what is refused and how, and that no password ever shows."""

import ssl

import pytest

from proxy.store.address import Address, AddressError, Credentials, Endpoint, Topology

SINGLE, SENTINEL, CLUSTER = Topology.SINGLE, Topology.SENTINEL, Topology.CLUSTER


def address(topology: Topology, *hosts: tuple[str, int], **fields: object) -> Address:
    return Address(topology, tuple(Endpoint(*host) for host in hosts), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", address(SINGLE, ("h", 6379))),
        ("redis://h:1/", address(SINGLE, ("h", 1))),
        ("redis://h:1/3", address(SINGLE, ("h", 1), db=3)),
        ("redis://h:1?db=4", address(SINGLE, ("h", 1), db=4)),
        ("redis://[::1]", address(SINGLE, ("::1", 6379))),
        ("redis://[::1]:7", address(SINGLE, ("::1", 7))),
        ("redis://:pw@h", address(SINGLE, ("h", 6379), login=Credentials(None, "pw"))),
        ("redis://u:pw@h", address(SINGLE, ("h", 6379), login=Credentials("u", "pw"))),
        ("redis://u@h", address(SINGLE, ("h", 6379), login=Credentials("u", None))),
        ("redis://u%40x:a%2Fb%3Ac+%40@h", address(SINGLE, ("h", 6379), login=Credentials("u@x", "a/b:c+@"))),
        ("redis://u:a:b@h", address(SINGLE, ("h", 6379), login=Credentials("u", "a:b"))),
        ("rediss://h", address(SINGLE, ("h", 6379), tls=True)),
        (
            "rediss://h/0?ssl_cert_reqs=none",
            address(SINGLE, ("h", 6379), tls=True, tls_options={"ssl_cert_reqs": "none"}),
        ),
        ("unix:///a/b.sock", Address(SINGLE, (Endpoint(path="/a/b.sock"),))),
        ("unix:///a%20b%3F.sock?db=2", Address(SINGLE, (Endpoint(path="/a b?.sock"),), db=2)),
        ("unix:///a@b.sock", Address(SINGLE, (Endpoint(path="/a@b.sock"),))),
        ("unix://u:pw@/s", Address(SINGLE, (Endpoint(path="/s"),), login=Credentials("u", "pw"))),
        ("redis+cluster://a:1,b:2/", address(CLUSTER, ("a", 1), ("b", 2))),
        ("redis+cluster://a,[::1]:2", address(CLUSTER, ("a", 6379), ("::1", 2))),
        ("rediss+cluster://a/0", address(CLUSTER, ("a", 6379), tls=True)),
        ("redis+sentinel://a,b:2/main", address(SENTINEL, ("a", 26379), ("b", 2), service="main")),
        (
            "redis+sentinel://u:pw@a/my%20main/5?sentinel_username=s&sentinel_password=p%26w+",
            address(
                SENTINEL,
                ("a", 26379),
                service="my main",
                db=5,
                login=Credentials("u", "pw"),
                sentinel_login=Credentials("s", "p&w+"),
            ),
        ),
    ],
)
def test_understood(url: str, expected: Address) -> None:
    assert Address.parse(url) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must start with"),
        ("localhost:6379", "must start with"),
        ("http://h", "must start with"),
        ("redis+banana://h", "must start with"),
        ("unix+cluster://h", "three slashes"),
        ("unix://path/s", "three slashes"),
        ("unix://", "three slashes"),
        ("redis://", "not host:port"),
        ("redis://h:", "no port between"),
        ("redis://h:0", "no port between"),
        ("redis://h:65536", "no port between"),
        ("redis://h:٣", "no port between"),
        ("redis://::1", "IPv6 addresses stand in brackets"),
        ("redis://[::1]7", "not host:port"),
        ("redis://a,b", "need redis\\+cluster"),
        ("redis://h/x", "database must be a number"),
        ("redis://h/-1", "database must be a number"),
        ("redis://h?db=x", "database must be a number"),
        ("redis://h?tls=1", "unknown option; known are db, "),
        ("redis+cluster://h/1", "only database 0"),
        ("redis+sentinel://h", "name of the master is missing"),
        ("redis+sentinel://h/", "name of the master is missing"),
        ("redis+sentinel://h/m/x", "database must be a number"),
    ],
)
def test_refused(url: str, message: str) -> None:
    with pytest.raises(AddressError, match=message):
        Address.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:secret/secret@h",
        "redis://u:secret?secret@h",
        "redis://u:a@secret/secret@h",
        "redis://u:a@secret?secret@h",
        "redis://u:secret@h/secret@h",
        "redis+sentinel://h/m?sentinel_password=secret&secret",
        "redis+sentinel://h/m?sentinel_password=secret@secret",
    ],
)
def test_a_password_that_was_not_encoded_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:secret@h", "redis://h:6379/0"),
        ("rediss://:secret@[::1]:7/2", "rediss://[::1]:7/2"),
        ("unix://u:secret@/s", "unix:///s"),
        ("redis+cluster://u:secret@a,b:2", "redis+cluster://a:6379,b:2/0"),
        ("redis+sentinel://u:secret@a/m/1?sentinel_password=secret", "redis+sentinel://a:26379/m/1"),
    ],
)
def test_what_is_shown_of_an_address_has_no_password(url: str, shown: str) -> None:
    parsed = Address.parse(url)
    assert str(parsed) == repr(parsed) == shown
    assert "secret" not in repr(parsed.login) + repr(parsed.sentinel_login)


def test_tls_verifies_unless_told_otherwise() -> None:
    strict = Address.parse("rediss://h").ssl_context()
    assert strict is not None
    assert strict.verify_mode is ssl.CERT_REQUIRED
    assert strict.check_hostname
    lax = Address.parse("rediss://h?ssl_check_hostname=false").ssl_context()
    assert lax is not None
    assert lax.verify_mode is ssl.CERT_REQUIRED
    assert not lax.check_hostname
    none = Address.parse("rediss://h?ssl_cert_reqs=none").ssl_context()
    assert none is not None
    assert none.verify_mode is ssl.CERT_NONE
    assert Address.parse("redis://h").ssl_context() is None
