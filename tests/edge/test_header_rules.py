"""The pure header rules, held to their promises by generated headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.edge.headers import Rule, drop_nominated, rule_of, sort_headers
from middlewares.exchange import Refusal

PLAIN = ("accept", "content-type", "content-duration", "prefer", "range", "traceparent", "user-agent", "x_custom")
RESERVED = ("authorization", "cookie", "te", "via", "x-request-id", "x-tollgate-app", "lp-a", "signer-a", "livepeer-a")
READ = ("host", "connection", "content-length", "transfer-encoding", "livepeer", "x-forwarded-for")

names = st.sampled_from(PLAIN + RESERVED + READ) | st.text("abcxyz-", min_size=1, max_size=12)
headers = st.lists(st.tuples(names.map(str.encode), st.binary(max_size=8)), max_size=20)


@given(headers)
def test_nothing_reserved_passes(given_headers: list[tuple[bytes, bytes]]) -> None:
    passed, read = sort_headers(given_headers)
    assert all(rule_of(name) is Rule.PASS for name, _ in passed)
    assert all(rule_of(name) is Rule.READ for name in read)


@pytest.mark.ci
@given(headers)
def test_what_passes_keeps_order_and_value(given_headers: list[tuple[bytes, bytes]]) -> None:
    passed, _ = sort_headers(given_headers)
    assert passed == [header for header in given_headers if rule_of(header[0]) is Rule.PASS]


@pytest.mark.ci
@given(headers)
def test_sorting_what_passed_changes_nothing(given_headers: list[tuple[bytes, bytes]]) -> None:
    passed, _ = sort_headers(given_headers)
    assert sort_headers(passed) == (passed, {})


@given(headers, st.lists(names, max_size=4))
def test_nominated_fields_do_not_pass(given_headers: list[tuple[bytes, bytes]], nominated: list[str]) -> None:
    connection = ", ".join(nominated).upper().encode()
    kept = drop_nominated(given_headers, connection)
    assert kept == [header for header in given_headers if header[0].decode() not in nominated]
    assert drop_nominated(kept, connection) == kept


@pytest.mark.parametrize("connection", [b"close", b"keep-alive", b"Keep-Alive, close", b"", b" , "])
def test_connection_options_of_the_connection_itself_nominate_nothing(connection: bytes) -> None:
    kept = [(b"close", b"1"), (b"keep-alive", b"2"), (b"accept", b"3")]
    assert drop_nominated(kept, connection) == kept


def test_a_repeated_name_is_read_as_a_list() -> None:
    _, read = sort_headers([(b"host", b"a"), (b"accept", b"b"), (b"host", b"c")])
    assert read == {b"host": b"a, c"}


@pytest.mark.parametrize("name", ["x_tollgate_app", "x-tollgate_app", "content_length", "x_api_key", "livepeer_job"])
def test_an_underscore_does_not_disguise_a_reserved_name(name: str) -> None:
    with pytest.raises(Refusal) as refused:
        sort_headers([(name.encode(), b"1")])
    assert refused.value.code == "reserved_field_name"
    assert name in refused.value.detail
    assert refused.value.close
