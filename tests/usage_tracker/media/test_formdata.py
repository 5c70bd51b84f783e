"""Forms are cut where the gateway's Go reader cuts them, wherever their bytes are cut on the way."""

from __future__ import annotations

import tracemalloc

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.usage_tracker.media.formdata import HEAD_BYTES, MOST_PARTS, FormReader, Sink
from tests.usage_tracker.meters.meter_runs import cuts

Parts = list[tuple[str, bool, bytes]]


def parts(*chunks: bytes, content_type: bytes = b"multipart/form-data; boundary=b") -> Parts:
    """Name, whether it is a file, and content of each part."""
    found: list[tuple[str, bool, bytearray]] = []

    def choose(name: str, is_file: bool) -> Sink:
        content = bytearray()
        found.append((name, is_file, content))
        return content.extend

    reader = FormReader([(b"host", b"x"), (b"content-type", content_type)], choose)
    for chunk in chunks:
        reader.feed(chunk)
    return [(name, is_file, bytes(content)) for name, is_file, content in found]


def part(disposition: str, content: bytes, newline: bytes = b"\r\n") -> bytes:
    """One part with its boundary `b` before it."""
    return b"--b" + newline + f"Content-Disposition: {disposition}".encode() + newline * 2 + content + newline


PLAIN = part('form-data; name="prompt"', b"two\r\nlines") + part(
    'form-data; name="image"; filename="x.png"', b"\x89PNG"
)


def test_a_form_as_clients_write_it() -> None:
    request = httpx.Request(
        "POST", "http://x", data={"a": "1", "b": ""}, files={"image": ("x.png", b"\r\n--", "image/png")}
    )
    body = request.read()
    found = parts(body, content_type=request.headers["content-type"].encode())
    assert found == [("a", False, b"1"), ("b", False, b""), ("image", True, b"\r\n--")]


@given(st.data())
def test_cuts_do_not_matter(data: st.DataObject) -> None:
    body = b"preamble\r\n--bx\r\n" + PLAIN + part('form-data; name="e"', b"") + b"--b--\r\n--b\r\nepilogue"
    assert parts(*data.draw(cuts(body))) == parts(body)


_word = st.sampled_from([b"--b", b"\r\n--b", b"\n--b", b"\r\n", b"\n", b"--", b" ", b"-", b"x", b"\r"])
_head = st.sampled_from([b'Content-Disposition: form-data; name="a"\r\n\r\n', b"X: y\r\n", b"\r\n\r\n", b"\n\n"])


@given(st.data(), st.lists(_word | _head, max_size=30).map(b"".join))
def test_cuts_do_not_matter_to_nonsense(data: st.DataObject, body: bytes) -> None:
    assert parts(*data.draw(cuts(body))) == parts(body)
    bytewise = [body[place : place + 1] for place in range(len(body))]
    assert parts(*bytewise) == parts(body)


@given(st.binary(max_size=100), st.binary(max_size=60))
def test_any_bytes(body: bytes, content_type: bytes) -> None:
    parts(body, content_type=content_type)
    parts(body)


def test_a_boundary_inside_a_field_is_text() -> None:
    """A decoy that only a laxer reader would see as a file."""
    for decoy in (b"\n--b\n", b"\r--b\r\n", b"\r\n--bb\r\n", b"\r\n-b\r\n", b"--b\r\n"):
        text = b"text" + decoy + b'Content-Disposition: form-data; name="image"; filename="x"\r\n\r\ntiny'
        assert parts(part('form-data; name="prompt"', text)) == [("prompt", False, text)]


def test_a_first_boundary_that_ends_in_a_bare_line_feed_sets_the_fashion() -> None:
    body = part("form-data; name=a", b"1\r\n\r\n", b"\n") + part("form-data; name=b", b"2", b"\n") + b"--b--\n"
    assert parts(body) == [("a", False, b"1\r\n\r\n"), ("b", False, b"2")]
    assert parts(body.replace(b"\n--b\n", b"\n--b\r\n")) == [("a", False, b"1\r\n\r\n")]


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ('form-data; name="image"; filename="a;b\\"c.png"', ("image", True)),
        ("form-data; name=image; filename=x", ("image", True)),
        ('FORM-DATA ; NAME="image" ; FileName="x"', ("image", True)),
        ('form-data; name="image"; filename=""', ("image", False)),
        ("form-data; name=\"image\"; filename*=utf-8''x.png", ("image", True)),
        ('form-data; filename="x"; name="image"', ("image", True)),
        ('form-data; name="image"; name="image"; filename="x"', None),
        ('form-data; name="image"; filename="x"; oops', None),
        ('attachment; name="image"; filename="x"', None),
        ("form-data", None),
        ('form-data; name=""', None),
        ('form-data; name="image', None),
    ],
)
def test_name_of_a_part(disposition: str, expected: tuple[str, bool] | None) -> None:
    body = part(disposition, b"1") + part('form-data; name="z"', b"")
    assert [found[:2] for found in parts(body)] == ([expected] if expected else []) + [("z", False)]


def test_heads_may_be_folded_and_end_either_way() -> None:
    folded = b"--b\r\nX: 1\r\ncontent-disposition:form-data;\r\n name=a\n\n1\r\n--b--"
    assert parts(folded) == [("a", False, b"1")]


def test_a_part_without_a_head_or_content() -> None:
    assert parts(b"--b\r\n\r\n--b\r\n\r\nx\r\n" + part("form-data; name=a", b"") + b"--b--") == [("a", False, b"")]


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"multipart/form-data",
        b"application/json; boundary=b",
        b"multipart/mixed; boundary=b",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=" + b"x" * 71,
    ],
)
def test_what_is_no_form_has_no_parts(content_type: bytes) -> None:
    assert parts(PLAIN, content_type=content_type) == []


def test_a_head_without_end_and_parts_without_end() -> None:
    assert parts(b"--b\r\nX: " + b"y" * HEAD_BYTES + b"\r\n\r\n", PLAIN) == []
    assert len(parts(PLAIN * MOST_PARTS)) == MOST_PARTS
    assert parts(b"--b x\r\n" * (MOST_PARTS + 1) + PLAIN) == []
    [[_, _, text]] = parts(part("form-data; name=a", b"\r\n--bx" * 2 * MOST_PARTS) + PLAIN)
    assert len(text) < 6 * 2 * MOST_PARTS


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"\r\n--" * 16_000, b"\r\n--b" * 10_000, b"X: y\r\n" * 10_000])
def test_floods_are_not_kept(piece: bytes) -> None:
    reader = FormReader([(b"content-type", b"multipart/form-data; boundary=b")], lambda name, is_file: None)
    reader.feed(PLAIN)
    tracemalloc.start()
    try:
        for _ in range(100):
            reader.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(piece)
