"""Which model a form names: found as Go would find it, or refused; the form itself is not changed."""

from collections.abc import Iterator
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.access import Edge
from config.workloads import Workload
from middlewares.edge.form import ModelFinder, boundary_of, model_part
from middlewares.edge.upload import UploadReader
from middlewares.exchange import Refusal
from middlewares.routing.traits import Measure
from tests.edge.server_fixture import Response, Server, serve

MODEL = b'Content-Disposition: form-data; name="model_id"'
IMAGE = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png'
PROMPT = b'Content-Disposition: form-data; name="prompt"'


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"b", end: bytes = b"--\r\n") -> bytes:
    """Parts, each a head and a content."""
    return b"".join(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, *part) for part in parts) + b"--" + boundary + end


def model_of(body: bytes, places: list[int] | None = None, boundary: bytes = b"b") -> str | None:
    finder = ModelFinder(boundary)
    stops = sorted({place % (len(body) + 1) for place in places or []} | {len(body)})
    for start, stop in pairwise([0, *stops]):
        finder.feed(body[start:stop])
    finder.finish()
    return finder.model


CUTS = st.lists(st.integers(0, 4_096), max_size=12)


@given(CUTS)
def test_the_first_value_counts_however_it_is_cut(places: list[int]) -> None:
    body = form((PROMPT, b"x--b\r\n--bx"), (IMAGE, b"\x00\r\n--bb\r\n--b"[:9]), (MODEL, b"m/1"), (MODEL, b"m/2"))
    assert model_of(body, places) == "m/1"


@given(CUTS, st.binary(max_size=60))
def test_content_is_never_taken_for_a_part(places: list[int], content: bytes) -> None:
    inner = content.replace(b"--b", b"")
    assert model_of(form((IMAGE, inner), (MODEL, b"m")), places) == "m"


@pytest.mark.parametrize(
    ("parts", "model"),
    [
        ([(MODEL, b"m")], "m"),
        ([(MODEL, b"")], ""),
        ([(PROMPT, b"p")], ""),
        ([(b"content-disposition:form-data;name=model_id", b"m")], "m"),
        ([(b'Content-Disposition: FORM-DATA; NAME="model_id"', b"m")], "m"),
        ([(MODEL + b"\r\nContent-Type: text/plain", "\u00e4".encode())], "\u00e4"),
        ([(MODEL + b'; filename=""', b"m")], "m"),
        ([(MODEL + b'; filename="m.txt"', b"no"), (MODEL, b"m")], "m"),
        ([(MODEL + b"; filename=\"m\"; filename*=utf-8''m", b"no"), (MODEL, b"m")], "m"),
        ([(b'Content-Disposition: form-data; name="MODEL_ID"', b"no")], ""),
        ([(b'Content-Disposition: form-data; name="a"; filename="C:\\x\\"; name=\\"model_id"', b"no")], ""),
    ],
)
def test_what_is_found(parts: list[tuple[bytes, bytes]], model: str) -> None:
    assert model_of(form(*parts)) == model


@pytest.mark.parametrize(
    "body",
    [
        b"x" * 70_000 + form((MODEL, b"m")),
        form((MODEL, b"m")).replace(b"\r\n", b"\n"),
        b"--b \r\n" + MODEL + b"\r\n\r\nm\r\n--b--",
        form((PROMPT, b"x\r\n--b \r\n" + MODEL + b"\r\n\r\nm")),
        form((PROMPT, b"x\r\n--b\n" + MODEL + b"\r\n\r\nm")),
        form((b"X: 1\r\n " + MODEL, b"m")),
        form((MODEL + b"\r\n" + PROMPT, b"m")),
        form((b"X: 1", b"m")),
        form((b"Content-Disposition : form-data; name=a", b"m")),
        form((b'Content-Disposition: attachment; name="model_id"', b"m")),
        form((b"Content-Disposition: form-data; name*=utf-8''model_id", b"m")),
        form((b"Content-Disposition: form-data; name*0=model; name*1=_id", b"m")),
        form((b'Content-Disposition: form-data; name="model_id"; name="x"', b"m")),
        form((b'Content-Disposition: form-data; name="mo\\del_id"', b"m")),
        form((b'Content-Disposition: form-data; name="model_id', b"m")),
        form((MODEL + b"\r\nContent-Transfer-Encoding: quoted-printable", b"=6D")),
        form((MODEL, b"\xff")),
        form((MODEL + b"; filename*=utf-8''", b"m")),
        form((MODEL + b"; a=b=c", b"m")),
        form((MODEL + b"; a=b/c", b"m")),
        form((MODEL + b"; a=b\\", b"m")),
        form((b"X: " + b"a" * 9_000, b"m")),
        form((MODEL, b"m"), (b"Content-Disposition: form-data; name*=utf-8''width", b"9")),
        form((MODEL, b"m"), (b'Content-Disposition: form-data; name="width"; name="width"', b"9")),
        form((MODEL, b"m"), (PROMPT + b"\r\nContent-Transfer-Encoding: quoted-printable", b"9")),
        form((MODEL, b"m"), (b'Content-Disposition: form-data; filename="x"; name="image"', b"9")),
        form((MODEL, b"m"), (b'Content-Disposition: form-data; name="image"; filename*0="x"', b"9")),
        form((MODEL, b"m"), (b"Content-Disposition: form-data; name=\"image\"; filename*=utf-8''x", b"9")),
        form((MODEL, b"m"), end=b""),
        form((MODEL, b"m"), end=b"--x"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        model_of(body)
    assert (refused.value.status, refused.value.code) == (400, "malformed_form")


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        (b"multipart/form-data; boundary=b", b"b"),
        (b'Multipart/Form-Data ; charset=utf-8; BOUNDARY="a:b"', b"a:b"),
        (b"multipart/form-data; boundary=b; charset=ISO-8859-1", b"b"),
        (b"application/json", None),
        (b"", None),
    ],
)
def test_the_boundary(kind: bytes, boundary: bytes | None) -> None:
    assert boundary_of([(b"content-type", kind)]) == boundary


@pytest.mark.parametrize(
    "kinds",
    [
        [b"multipart/form-data"],
        [b"multipart/form-data; boundary="],
        [b"multipart/mixed; boundary=b"],
        [b"multipart/form-data; boundary*=utf-8''b"],
        [b"multipart/form-data; boundary*0=b"],
        [b'multipart/form-data; x="; boundary=evil"; boundary=b'],
        [b"multipart/form-data; boundary=a b"],
        [b'multipart/form-data; boundary="a\\"b"'],
        [b"multipart/form-data; boundary=a; boundary=b"],
        [b"multipart/form-data; boundary=" + b"a" * 71],
        [b"multipart/form-data; boundary=a", b"multipart/form-data; boundary=b"],
        [b"application/json", b"multipart/form-data; boundary=b"],
        ["\u00a0multipart/form-data; boundary=b".encode()],
        ["\u0085multipart/form-data; boundary=b".encode()],
        ["mult\u0130part/form-data; boundary=b".encode()],
    ],
)
def test_a_boundary_that_is_not_clear_is_refused(kinds: list[bytes]) -> None:
    with pytest.raises(Refusal):
        boundary_of([(b"content-type", kind) for kind in kinds])


@pytest.mark.parametrize("kind", ["\u00a0multipart/form-data; boundary=b", "mult\u0130part/form-data; boundary=b"])
def test_a_form_in_a_type_that_only_go_takes_for_one_reaches_no_gateway(server: Server, kind: str) -> None:
    """Go trims blanks of Unicode and folds its letters; unread, the form would name any model and size for nothing."""
    body = form((MODEL, b"dear"), (IMAGE, b"x"))
    head = b"POST /image-to-image HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Type: " + kind.encode()
    response = server.send(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    assert (response.problem["status"], response.problem["code"]) == (400, "malformed_form")
    assert not response.seen


@given(st.binary(max_size=200), CUTS)
def test_any_bytes_are_read_or_refused(body: bytes, places: list[int]) -> None:
    for text in (body, b"--b\r\n" + body, b"--b\r\n" + MODEL + b"\r\n\r\n" + body):
        try:
            model_of(text, places)
        except Refusal as refusal:
            if refusal.status != 400:
                raise


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    settings = Edge(max_form_bytes=100_000, default_models={Workload.UPSCALE: "house"})
    with serve(settings) as running:
        yield running


def post(server: Server, path: str, body: bytes, chunked: bool = False) -> Response:
    head = b"POST %b HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n" % path.encode()
    head += b'Content-Type: multipart/form-data; boundary="b"\r\n'
    if chunked:
        chunks = [body[at : at + 30_000] for at in range(0, len(body), 30_000)]
        framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
        return server.send(head + b"Transfer-Encoding: chunked\r\n\r\n", *framed, b"0\r\n\r\n")
    return server.send(head + b"Content-Length: %d\r\n\r\n" % len(body), body)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_form_passes_byte_for_byte(server: Server, chunked: bool, first: bool) -> None:
    parts = [(MODEL, b"m"), (IMAGE, bytes(90_000))]
    body = form(*(parts if first else parts[::-1]))
    [seen] = post(server, "/image-to-image", body, chunked).seen
    assert seen.declared is not None
    assert (seen.declared.model, seen.body == body) == ("m", True)
    assert seen.exchange.content_length == (None if chunked else len(body))


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"This is a form.\r\n"])
def test_a_preamble_is_no_fault(server: Server, preamble: bytes) -> None:
    body = preamble + form((MODEL, b"m"), (IMAGE, b"x"))
    [seen] = post(server, "/upscale", body).seen
    assert seen.declared is not None
    assert (seen.declared.model, seen.body) == ("m", body)
    [seen] = post(server, "/upscale", preamble + form((IMAGE, b"x"))).seen
    assert seen.body == preamble + model_part(b"b", "house") + form((IMAGE, b"x"))


def test_a_head_behind_the_model_is_checked_before_the_gateway_has_it_all(server: Server) -> None:
    """The request has been admitted by then; the gateway sees no complete body."""
    late = (b"Content-Disposition: form-data; name*=utf-8''width", b"8192")
    body = form((MODEL, b"m"), (IMAGE, bytes(90_000)), late)
    answer = post(server, "/image-to-image", body, chunked=True)
    assert not any(seen.complete for seen in answer.seen)
    assert answer.problem["code"] == "malformed_form"


def test_a_form_without_a_model_gets_the_configured_one_in_front(server: Server) -> None:
    body = form((IMAGE, b"x"))
    [seen] = post(server, "/upscale", body).seen
    assert seen.declared is not None
    assert seen.declared.model == "house"
    assert seen.body == model_part(b"b", "house") + body
    assert seen.exchange.content_length == len(seen.body)
    assert model_of(seen.body) == "house"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/image-to-image", form((IMAGE, b"x")), "invalid_parameter"),
        ("/image-to-image", form((IMAGE, bytes(300_000)), (MODEL, b"m")), "malformed_form"),
        ("/upscale", form((IMAGE, b"x"), end=b""), "malformed_form"),
        ("/upscale", b"", "malformed_form"),
        ("/upscale", b"{}", "malformed_form"),
    ],
)
def test_a_form_without_a_model_is_refused(server: Server, path: str, body: bytes, code: str) -> None:
    response = post(server, path, body)
    assert (response.problem["status"], response.problem["code"]) == (400, code)
    assert not any(seen.complete for seen in response.seen)


def test_forms_of_a_common_client_are_read() -> None:
    files = {"image": ('a "b".png', b"\x89PNG", "image/png")}
    request = httpx.Request("POST", "http://proxy/upscale", data={"prompt": "p", "model_id": "m/x"}, files=files)
    boundary = boundary_of([(b"content-type", request.headers["content-type"].encode())])
    assert boundary is not None
    assert model_of(request.read(), boundary=boundary) == "m/x"


@pytest.mark.parametrize("number", [b"0" * 100 + b"8192", b"+" + b"0" * 64 + b"8192", b"0" * 64 + b"1"])
def test_a_number_longer_than_is_kept_is_refused(number: bytes) -> None:
    """Go reads any number of zeros before one; cut off, it would count as missing, and be charged as the default."""
    finder = ModelFinder(b"b", UploadReader(Measure.VIDEO, None))
    with pytest.raises(Refusal) as refused:
        finder.feed(form((MODEL, b"m"), (b'Content-Disposition: form-data; name="width"', number)))
    assert (refused.value.code, refused.value.members) == ("invalid_parameter", {"parameter": "width"})


def test_too_long_a_model_is_refused_by_its_name() -> None:
    assert model_of(form((MODEL, b"m" * 256))) == "m" * 256
    with pytest.raises(Refusal) as refused:
        model_of(form((MODEL, b"m" * 257)))
    assert (refused.value.code, refused.value.members) == ("invalid_parameter", {"parameter": "model_id"})
