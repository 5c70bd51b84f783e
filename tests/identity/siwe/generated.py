"""Messages of EIP-4361 made from its grammar, rule by rule, without a look at the parser."""

from __future__ import annotations

import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from eth_utils.address import to_checksum_address
from hypothesis import strategies as st

UNRESERVED = string.ascii_letters + string.digits + "-._~"
SUB_DELIMITERS = "!$&'()*+,;="
RESERVED = ":/?#[]@" + SUB_DELIMITERS
HEXADECIMAL = string.hexdigits
FIRST, LAST = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001 - the zone is drawn, too

encoded = st.tuples(st.sampled_from(HEXADECIMAL), st.sampled_from(HEXADECIMAL)).map(lambda pair: "%" + "".join(pair))


def text_of(characters: str, least: int = 0, most: int = 12) -> st.SearchStrategy[str]:
    """Return texts of these characters and of encoded ones."""
    one = st.one_of(st.sampled_from(characters), st.sampled_from(characters), encoded)
    return st.lists(one, min_size=least, max_size=most).map("".join)


path_characters = UNRESERVED + SUB_DELIMITERS + ":@"
scheme = st.tuples(
    st.sampled_from(string.ascii_letters), st.text(string.ascii_letters + string.digits + "+-.", max_size=6)
).map("".join)
host = st.one_of(
    text_of(UNRESERVED + SUB_DELIMITERS),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
user_name = st.one_of(st.just(""), text_of(UNRESERVED + SUB_DELIMITERS + ":").map(lambda text: text + "@"))
port = st.one_of(st.just(""), st.text(string.digits, max_size=5).map(lambda text: ":" + text))
authority = st.tuples(user_name, host, port).map("".join)
segments = st.lists(text_of(path_characters).map(lambda text: "/" + text), max_size=3).map("".join)
first_segment = text_of(path_characters, least=1)
hierarchy = st.one_of(
    st.tuples(st.just("//"), authority, segments).map("".join),
    st.tuples(st.just("/"), st.one_of(st.just(""), st.tuples(first_segment, segments).map("".join))).map("".join),
    st.tuples(first_segment, segments).map("".join),
    st.just(""),
)


def after(mark: str) -> st.SearchStrategy[str]:
    """Return a query or a fragment, or nothing."""
    return st.one_of(st.just(""), text_of(path_characters + "/?").map(lambda text: mark + text))


uri = st.tuples(scheme, st.just(":"), hierarchy, after("?"), after("#")).map("".join)
address = st.binary(min_size=20, max_size=20).map(lambda raw: str(to_checksum_address(raw)))


@dataclass(frozen=True)
class Written:
    """A time, and one of the ways to write it."""

    moment: datetime
    text: str


@st.composite
def times(draw: st.DrawFn) -> Written:
    """Return a time of RFC 3339, with any offset and any number of decimals."""
    minutes = draw(st.integers(-23 * 60 - 59, 23 * 60 + 59))
    naive = draw(st.datetimes(FIRST, LAST))
    digits = draw(st.integers(0, 9))
    micros = f"{naive.microsecond:06}000"[:digits]
    moment = naive.replace(microsecond=int(micros[:6].ljust(6, "0") or 0), tzinfo=timezone(timedelta(minutes=minutes)))
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    if minutes == 0:
        zone = draw(st.sampled_from(["Z", "z", "+00:00", "-00:00"]))
    date, clock = f"{naive.year:04}-{naive:%m-%d}", f"{naive:%H:%M:%S}"
    text = date + draw(st.sampled_from("Tt")) + clock + ("." + micros if digits else "") + zone
    return Written(moment.astimezone(UTC), text)


@st.composite
def messages(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """Return the fields of a message, and its text."""
    optional = {
        "expiration_time": draw(st.none() | times()),
        "not_before": draw(st.none() | times()),
        "request_id": draw(st.none() | text_of(path_characters)),
        "resources": draw(st.none() | st.lists(uri, max_size=3)),
    }
    fields: dict[str, Any] = {
        "scheme": draw(st.none() | scheme),
        "domain": draw(authority),
        "address": draw(address),
        "statement": draw(st.none() | st.text(RESERVED + UNRESERVED + " ", min_size=1, max_size=40)),
        "uri": draw(uri),
        "chain_id": draw(st.text(string.digits, min_size=1, max_size=12)),
        "nonce": draw(st.text(string.ascii_letters + string.digits, min_size=8, max_size=40)),
        "issued_at": draw(times()),
        **optional,
    }
    text = f"{fields['scheme']}://" if fields["scheme"] is not None else ""
    text += f"{fields['domain']} wants you to sign in with your Ethereum account:\n{fields['address']}\n\n"
    text += f"{fields['statement']}\n\n" if fields["statement"] is not None else "\n"
    text += f"URI: {fields['uri']}\nVersion: 1\nChain ID: {fields['chain_id']}\nNonce: {fields['nonce']}\n"
    text += f"Issued At: {fields['issued_at'].text}"
    for name, member in (("Expiration Time", "expiration_time"), ("Not Before", "not_before")):
        text += f"\n{name}: {fields[member].text}" if fields[member] is not None else ""
    text += f"\nRequest ID: {fields['request_id']}" if fields["request_id"] is not None else ""
    if fields["resources"] is not None:
        text += "\nResources:" + "".join(f"\n- {each}" for each in fields["resources"])
    for member in ("issued_at", "expiration_time", "not_before"):
        fields[member] = fields[member] and fields[member].moment
    if fields["resources"] is not None:
        fields["resources"] = tuple(fields["resources"])
    return fields, text
