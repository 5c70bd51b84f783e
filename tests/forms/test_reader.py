"""Forms are read alike however their bytes are cut, within bounds."""

from __future__ import annotations

import time
import tracemalloc

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.forms.grammar import MOST_HEAD_LINES, FormError, PartHead, form_boundary, go_integer
from middlewares.forms.reader import MOST_PARTS, FormReader
from tests.usage_tracker.meters.meter_runs import cuts

Parts = list[tuple[PartHead, bytes]]


class Collector:
    """Keeps every part."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.parts: list[tuple[PartHead, bytearray]] = []
        self.ended = 0
        self._wanted = wanted

    def begin_part(self, head: PartHead) -> bool:
        self.parts.append((head, bytearray()))
        return self._wanted

    def part_data(self, data: bytes) -> None:
        assert data
        self.parts[-1][1].extend(data)

    def end_part(self, head: PartHead) -> None:
        assert head == self.parts[-1][0]
        self.ended += 1


def read(*chunks: bytes, boundary: bytes = b"b") -> Parts:
    """Return the parts of a form. Raises `FormError`."""
    collector = Collector()
    reader = FormReader(boundary, collector)
    for chunk in chunks:
        reader.feed(chunk)
    reader.finish()
    assert collector.ended == len(collector.parts)
    return [(head, bytes(content)) for head, content in collector.parts]


def verdict(*chunks: bytes) -> Parts | str:
    try:
        return read(*chunks)
    except FormError as error:
        return str(error)


def part(disposition: bytes, content: bytes) -> bytes:
    """Return a part with its boundary `b` before it."""
    return b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n"


PLAIN = part(b'form-data; name="prompt"', b"two\r\nlines") + part(b'form-data; name="i"; filename="x.png"', b"\x89PNG")
END = b"--b--\r\n"


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"preamble\r\n--bx\r\n"])
def test_a_form_has_its_parts(preamble: bytes) -> None:
    assert read(preamble + PLAIN + END + b"epilogue") == [
        (PartHead(b"prompt", is_file=False), b"two\r\nlines"),
        (PartHead(b"i", is_file=True), b"\x89PNG"),
    ]


def test_a_form_as_a_common_client_writes_it() -> None:
    files = {"image": ('a "b" \u00e9.png', b"\r\n--", "image/png")}
    request = httpx.Request("POST", "http://x", data={"a": "1", "b": ""}, files=files)
    boundary = form_boundary([(b"content-type", request.headers["content-type"].encode())])
    assert boundary is not None
    found = read(request.read(), boundary=boundary)
    assert found == [
        (PartHead(b"a", is_file=False), b"1"),
        (PartHead(b"b", is_file=False), b""),
        (PartHead(b"image", is_file=True), b"\r\n--"),
    ]


@pytest.mark.parametrize(
    ("disposition", "head"),
    [
        (b'form-data; name="a"', PartHead(b"a", is_file=False)),
        (b"form-data; name=a; filename=f.png", PartHead(b"a", is_file=True)),
        (b"form-data; name=a; filename=f.png; filename*=utf-8''f.png", PartHead(b"a", is_file=True)),
        (b'form-data; name="a"; filename=""', PartHead(b"a", is_file=False)),
        (b'form-data; name="a"; filename="C:\\x\\"; name="b"', None),
        (b'form-data; name="a"; filename="x\\""', PartHead(b"a", is_file=True)),
        (b"form-data", None),
        (b'form-data; name=""', None),
    ],
)
def test_the_head_of_a_part(disposition: bytes, head: PartHead | None) -> None:
    found = verdict(part(disposition, b"1") + END)
    assert found == [(head, b"1")] if head else isinstance(found, str)


@given(st.data())
def test_cuts_do_not_matter(data: st.DataObject) -> None:
    body = b"preamble\r\n--bx\r\n" + PLAIN + part(b'form-data; name="e"', b"") + END + b"--b\r\nepilogue"
    assert read(*data.draw(cuts(body))) == read(body)


_word = st.sampled_from([b"--b", b"\r\n--b", b"\n--b", b"\r\n", b"\n", b"--", b" ", b"-", b"x", b"\r", b"--b--\r\n"])
_head = st.sampled_from([b'\r\nContent-Disposition: form-data; name="a"\r\n\r\n', b"X: y\r\n", b"\r\n\r\n"])


@given(st.data(), st.lists(_word | _head, max_size=30).map(b"".join))
def test_cuts_do_not_matter_to_nonsense(data: st.DataObject, body: bytes) -> None:
    whole = verdict(body)
    assert verdict(*data.draw(cuts(body))) == whole
    assert verdict(*(body[place : place + 1] for place in range(len(body)))) == whole


def test_a_form_of_too_many_parts_is_refused() -> None:
    with pytest.raises(FormError, match=str(MOST_PARTS)):
        read(part(b"form-data; name=a", b"") * (MOST_PARTS + 1) + END)


def test_a_head_of_too_many_lines_is_refused() -> None:
    """Hazard: each line costs a look, and heads of 900 held up a worker for 30 ms and more at once."""
    lines = b"".join(b"\r\nx-%d: y" % number for number in range(MOST_HEAD_LINES))
    read(part(b"form-data; name=a" + lines[: lines.rindex(b"\r\n")], b"") + END)
    with pytest.raises(FormError, match=f"more than {MOST_HEAD_LINES} lines"):
        read(part(b"form-data; name=a" + lines, b"") + END)


@pytest.mark.parametrize("stretch", [b"x" * 65_536, b"\r\n--" * 16_000, b"\r\n--bx" * 10_000])
def test_floods_are_not_kept(stretch: bytes) -> None:
    reader = FormReader(b"b", Collector(wanted=False))
    reader.feed(PLAIN[:-2])
    tracemalloc.start()
    try:
        for _ in range(100):
            reader.feed(stretch)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(stretch)


@pytest.mark.parametrize("begun", [b"", PLAIN[:-2]])
def test_a_flood_of_what_only_begins_like_a_boundary_costs_no_more_than_a_look(begun: bytes) -> None:
    """Each of them once had the rest of its chunk copied: a megabyte took a worker a second, and a client has 300."""
    reader = FormReader(b"b", Collector(wanted=False))
    reader.feed(begun)
    flood = b"\r\n--bx" * (9_000 if not begun else 150_000)
    before = time.process_time()
    reader.feed(flood)
    seconds = time.process_time() - before
    assert seconds / len(flood) < 100e-9


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"8192", 8192),
        (b"+8192", 8192),
        (b"0008192", 8192),
        (b"-1", -1),
        (b"", None),
        (b" 1", None),
        (b"1_000", None),
        (b"0x10", None),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", None),
        (b"-9223372036854775808", -(2**63)),
        ("\u0661".encode(), None),
    ],
)
def test_numbers_are_read_as_go_reads_them(text: bytes, number: int | None) -> None:
    assert go_integer(text) == number


def test_many_parts_in_one_chunk_are_not_copied_again_and_again() -> None:
    """Hazard: each part copies all that comes behind it."""
    form = b"".join(part(b'form-data; name="a"', b"x" * 16_384) for _ in range(MOST_PARTS - 1)) + b"--b--\r\n"
    pieces = [form[at : at + 16_384] for at in range(0, len(form), 16_384)]

    def seconds(chunks: list[bytes]) -> float:
        started = time.process_time()
        read(*chunks)
        return time.process_time() - started

    assert min(seconds([form]) for _ in range(2)) < 10 * seconds(pieces)
