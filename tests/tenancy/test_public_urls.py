"""Links that lead to Tollgate do so under its public name; all others are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.tenancy.public_urls import PublicUrls

ORIGIN, MEDIA = "https://ai.example", "https://live.example"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://10.0.0.9:9935/live/video-to-video/cam/whip/abc", f"{ORIGIN}/live/video-to-video/cam/whip/abc"),
        ("https:///process/stream/cam/update", f"{ORIGIN}/process/stream/cam/update"),
        ("https://gateway/process/stream/cam/data?x=%2F&y", f"{ORIGIN}/process/stream/cam/data?x=%2F&y"),
        ("http://localhost:8889/cam-0a1b2c3d-out/whep", f"{ORIGIN}/live/video-to-video/cam-0a1b2c3d-out/whep"),
        ("rtmp://localhost:1935/cam", ""),
        ("https://bucket.example/results/a.png?signature=%2B", "https://bucket.example/results/a.png?signature=%2B"),
        ("/stream/0a1b2c3d/a.png", "/stream/0a1b2c3d/a.png"),
        ("http://[broken/live/x", "http://[broken/live/x"),
        ("", ""),
    ],
)
def test_links(url: str, public: str) -> None:
    assert PublicUrls(ORIGIN).rewrite(url) == public


def test_a_media_server_with_a_public_name_keeps_its_paths() -> None:
    assert PublicUrls(ORIGIN, MEDIA).rewrite("http://localhost:8889/cam-1-out/whep") == f"{MEDIA}/cam-1-out/whep"


@given(st.text() | st.text(max_size=20).map(lambda text: f"http://{text}/live/{text}"))
def test_no_text_is_too_strange(text: str) -> None:
    public = PublicUrls(ORIGIN).rewrite(text)
    assert public == text or public.startswith(ORIGIN)


def test_only_the_fields_and_members_that_are_links_change() -> None:
    urls = PublicUrls(ORIGIN)
    link = b"http://gateway/live/a/whip/1"
    headers = [(b"location", link), (b"x-other", link), (b"link", b'<stun:x>; rel="ice-server"')]
    assert urls.rewrite_headers(headers) == [(b"location", f"{ORIGIN}/live/a/whip/1".encode()), *headers[1:]]
    text = link.decode()
    document = {"whip_url": text, "note": text, "url": text, "a": {"whep_url": text, "b": [text], "data_url": None}}
    public = f"{ORIGIN}/live/a/whip/1"
    nested = {"whep_url": public, "b": [text], "data_url": None}
    assert urls.rewrite_document(document) == {"whip_url": public, "note": text, "url": text, "a": nested}


def test_the_rtmp_address_of_a_gateway_does_not_leak() -> None:
    urls = PublicUrls("https://proxy.example")
    assert urls.rewrite_document({"rtmp_url": "rtmp://localhost:1935/a"}) == {"rtmp_url": ""}
