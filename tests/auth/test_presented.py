"""The credential of a request is found in its headers, and ambiguity is refused."""

import pytest

from middlewares.auth.middleware import presented
from middlewares.exchange import Headers, Refusal

KEY, OTHER = b"tgk_one", b"tgk_two"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer " + KEY)],
        [(b"authorization", b"bearer  " + KEY + b" ")],
        [(b"authorization", b"BEARER " + KEY)],
        [(b"x-api-key", KEY)],
        [(b"x-api-key", b" " + KEY + b"\t")],
        [(b"x-api-key", KEY), (b"authorization", b"Bearer " + KEY)],
        [(b"host", b"tollgate"), (b"x-api-keys", OTHER), (b"x-api-key", KEY), (b"cookie", b"authorization")],
    ],
)
def test_one_credential_is_found(headers: Headers) -> None:
    assert presented(headers) == KEY


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "missing_credentials"),
        ([(b"cookie", b"key=" + KEY)], "missing_credentials"),
        ([(b"authorization", b"Basic " + KEY)], "unsupported_scheme"),
        ([(b"authorization", KEY)], "unsupported_scheme"),
        ([(b"authorization", b"Bearer\t" + KEY)], "unsupported_scheme"),
        ([(b"authorization", b"")], "unsupported_scheme"),
        ([(b"authorization", b"Basic " + KEY), (b"x-api-key", KEY)], "unsupported_scheme"),
        ([(b"authorization", b"Bearer " + KEY), (b"x-api-key", OTHER)], "ambiguous_credentials"),
        ([(b"authorization", b"Bearer"), (b"x-api-key", KEY)], "ambiguous_credentials"),
        ([(b"authorization", b"Bearer " + KEY)] * 2, "ambiguous_credentials"),
        ([(b"x-api-key", KEY), (b"x-api-key", OTHER)], "ambiguous_credentials"),
    ],
)
def test_anything_else_is_401(headers: Headers, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        presented(headers)
    assert (refused.value.status, refused.value.code) == (401, code)
    challenge = dict(refused.value.headers)[b"www-authenticate"]
    assert challenge.startswith(b'Bearer realm="tollgate"')
    assert (b"error=" in challenge) == (code != "missing_credentials")  # RFC 6750 section 3.1
    assert KEY.decode() not in f"{refused.value.detail}{challenge!r}"
