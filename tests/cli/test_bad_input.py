"""Wrong arguments: exit code 2, one line, no effect. A secret that was pasted by mistake is not repeated."""

import pytest

from middlewares.auth.keys import mint_client_secret, mint_key
from tests.cli.conftest import call

APP = "app_aaaaaaaaaaaaaaaa"
NOWHERE = "redis://127.0.0.1:1"
"""Redis that cannot be reached: a command that opened the store would end with exit code 3."""
KEY = mint_key()[0]

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown plan": (("apps", "create", "x", "--plan", "gold"), "plans are free, premium, standard, unlimited"),
    "unknown tier": (("apps", "create", "x", "--plan", "free", "--tier", "x"), "tiers are premium, standard"),
    "no name": (("apps", "create", "", "--plan", "free"), "the name must have 1 to 100 characters"),
    "long name": (("apps", "create", "x" * 101, "--plan", "free"), "the name must have 1 to 100 characters"),
    "escape in a name": (("apps", "create", "\x1b[31m", "--plan", "free"), "no control characters"),
    "newline in a name": (("keys", "create", "--app", APP, "--name", "a\nb"), "no control characters"),
    "no client id": (("apps", "show", "acme"), "no client id"),
    "empty client id": (("keys", "list", "--app", ""), "no client id"),
    "key for a client id": (("apps", "suspend", KEY), "no client id"),
    "secret for a client id": (("keys", "create", "--app", mint_client_secret()[0]), "no client id"),
    "key for a key id": (("keys", "revoke", KEY), "a key is no key id"),
    "key for a key id to rotate": (("keys", "rotate", KEY), "a key is no key id"),
    "no overlap": (("keys", "rotate", "a" * 16, "--overlap", "long"), "--overlap must be a whole number"),
    "endless overlap": (("keys", "rotate", "a" * 16, "--overlap", "366d"), "365 days at most"),
    "no user id": (("keys", "create", "--app", APP, "--user", "ann"), "no user id"),
    "no network": (("keys", "create", "--app", APP, "--cidr", "10.0.0.1/8"), "10.0.0.1/8 has host bits set"),
    "no address": (("keys", "create", "--app", APP, "--cidr", "localhost"), "--cidr"),
    "file of too long a name": (
        ("history", "subject", "--app", APP, "--output", "x" * 5_000),
        "cannot be the name of a file: File name too long",
    ),
    "file in a folder of too long a name": (
        ("history", "export", "--format", "csv", "--from", "2026-01-01", "--to", "2026-01-02", "--output", "x" * 300),
        "cannot be the name of a file: File name too long",
    ),
    "file of a name that cannot be printed": (
        ("history", "subject", "--app", APP, "--output", "no\n\udcff/such"),
        "no\\n\\udcff is no folder",
    ),
    "folder of too long a name": (("backup", "x" * 5_000), "cannot be the name of a folder: File name too long"),
    "no text": (("audit", "list", "--actor", "\udcff"), "--actor must have 1 to 256 characters"),
    "no text for an action": (("audit", "list", "--action", "a\x1b"), "--action must have 1 to 256 characters"),
    "no workload": (("keys", "create", "--app", APP, "--workload", "mining"), "'llm'"),
    "no model": (("keys", "create", "--app", APP, "--model", ""), "--model must have 1 to 200 characters"),
    "two expiries": (("keys", "create", "--app", APP, "--expires-in", "1d", "--expires-at", "2099-01-01"), "not both"),
    "no duration": (("keys", "create", "--app", APP, "--expires-in", "soon"), "for example 30d"),
    "zero duration": (("keys", "create", "--app", APP, "--expires-in", "0d"), "for example 30d"),
    "negative duration": (("keys", "create", "--app", APP, "--expires-in", "-1d"), "for example 30d"),
    "endless duration": (("keys", "create", "--app", APP, "--expires-in", "9999999w"), "days at most"),
    "endless invitation": (
        ("invites", "create", "--app", APP, "--role", "viewer", "--expires-in", "366d"),
        "--expires-in may be 365 days at most",
    ),
    "endless lead": (("issuer", "rotate", "--lead", "9999999w"), "days at most"),
    "no time": (("keys", "create", "--app", APP, "--expires-at", "tomorrow"), "ISO 8601"),
    "past time": (("keys", "create", "--app", APP, "--expires-at", "2020-01-01"), "in the past"),
    "past time elsewhere": (("keys", "create", "--app", APP, "--expires-at", "0001-01-01T00:00+14:00"), "ISO 8601"),
    "credits that expire never": (
        ("credits", "grant", "--app", APP, "5", "--expires", "1970-01-01"),
        "--expires must be after 1970-01-01",
    ),
    "credits that expire after all time": (
        ("credits", "grant", "--app", APP, "5", "--expires", "9999-12-31T23:59:59.9999Z"),
        "--expires must be after 1970-01-01 and not after 9999-12-30",
    ),
    "no external id": (("users", "create", "--app", APP, "--external-id", ""), "--external-id must have"),
    "no email": (
        ("users", "create", "--app", APP, "--external-id", "a", "--email", "a b"),
        "--email must be an email address",
    ),
    "no issuer": (("apps", "change", APP), "give --issuer and --audience, or --no-issuer"),
    "no audience": (("apps", "change", APP, "--issuer", "https://login.example"), "give --issuer and --audience"),
    "issuer and none": (("apps", "change", APP, "--no-issuer", "--audience", "a"), "--no-issuer stands alone"),
    "issuer without an address": (
        ("apps", "change", APP, "--issuer", "login", "--audience", "a"),
        "give jwks_url, or an issuer that is an https URL",
    ),
    "issuer by http": (
        ("apps", "change", APP, "--issuer", "http://login.example", "--audience", "a"),
        "give jwks_url, or an issuer that is an https URL",
    ),
    "key set by http": (
        ("apps", "change", APP, "--issuer", "login", "--audience", "a", "--jwks-url", "http://login.example/keys"),
        "jwks_url must be an https URL",
    ),
    "key set with a password": (
        ("apps", "change", APP, "--issuer", "login", "--audience", "a", "--jwks-url", "https://u:p@login.example/keys"),
        "jwks_url must be an https URL",
    ),
    "key for a client id to change": (("apps", "change", KEY, "--no-issuer"), "no client id"),
    "no such command": (("apps", "destroy", APP), "No such command"),
    "missing argument": (("apps", "create", "x"), "--plan"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_do_nothing(name: str) -> None:
    arguments, said = WRONG[name]
    done = call(*arguments, TOLLGATE_REDIS_URL=NOWHERE)
    assert done.code == 2, done.err
    assert said in done.err
    assert done.out == ""
    for secret in (argument for argument in arguments if len(argument) > 50 and "x" * 50 not in argument):
        assert secret[21:-6] not in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("events", "--app", APP, "--limit", "ten"), "Invalid value for '--limit': must be a valid integer\n"),
        (("events", "--app", APP, "--limit", "0"), "Invalid value for '--limit': must be greater than or equal to 1\n"),
        (("usage", "--app", APP, "--format", "xml"), "Invalid value for '--format': 'xml' is not one of 'table'"),
        (("export", "--to", "stdout", "--timeout", "soon"), "Invalid value for '--timeout': must be "),
    ],
)
def test_what_an_option_does_not_take_is_said_in_words(arguments: tuple[str, ...], message: str) -> None:
    """Hazard: `Value error, ...` and `Input should be ...`, the words of a library."""
    done = call(*arguments, TOLLGATE_REDIS_URL=NOWHERE)
    assert (done.code, done.out) == (2, "")
    assert message in done.err, done.err
