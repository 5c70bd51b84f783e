"""Links that lead to Tollgate do so under its public name; all others are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.tenancy.public_urls import PART, PublicUrls

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
        ("rtmps://10.0.0.7/cam", ""),
        ("https://ingest.example/a,rtmp://localhost:1935/cam-out", "https://ingest.example/a"),
        ("rtmp://localhost:1935/cam-out,rtmp://localhost:1935/cam-1-out", ""),
        ("http://10.0.0.9:8000/results/a.png", ""),
        ("http://worker:8000/a", ""),
        ("http://[fd00::1]:8000/a", ""),
        ("https://bucket.example/a,b?c=http://x", "https://bucket.example/a,b?c=http://x"),
    ],
)
def test_links(url: str, public: str) -> None:
    assert PublicUrls(ORIGIN).rewrite(url) == public


def test_a_media_server_with_a_public_name_keeps_its_paths() -> None:
    assert PublicUrls(ORIGIN, MEDIA).rewrite("http://localhost:8889/cam-1-out/whep") == f"{MEDIA}/cam-1-out/whep"


@given(st.text() | st.text(max_size=20).map(lambda text: f"http://{text}/live/{text}"))
def test_no_text_is_too_strange(text: str) -> None:
    public = PublicUrls(ORIGIN).rewrite(text)
    assert public in (text, "") or public.startswith(ORIGIN)
    PublicUrls(ORIGIN).rewrite_text(text)


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


@pytest.mark.parametrize(
    ("text", "public"),
    [
        (
            "Error getting codec info url=http://gateway:9935/live/app_x_cam/0.ts",
            f"Error getting codec info url={ORIGIN}/live/app_x_cam/0.ts",
        ),
        ('Post "https://203.0.113.7:8935/process/token": EOF', f'Post "{ORIGIN}/process/token": EOF'),
        ('Get "https://orch.example:8935/status?x=1": timeout', 'Get "[internal]": timeout'),
        ('Get "https://8.8.8.8/status": timeout', 'Get "[internal]": timeout'),
        (
            "dial tcp 10.0.0.7:8000: connect: connection refused",
            "dial tcp [internal]: connect: connection refused",
        ),
        ("read tcp [::1]:5000->127.0.0.1:80: reset", "read tcp [internal]->[internal]: reset"),
        (
            "dial tcp: lookup gateway-1.svc on 10.96.0.10:53: no such host",
            "dial tcp: lookup [internal] on [internal]: no such host",
        ),
        (
            "see https://docs.example/errors#4 (or http://example.org)",
            "see https://docs.example/errors#4 (or http://example.org)",
        ),
        ("at 12:30:59, ratio 16:9, version 1.2.3.4", "at 12:30:59, ratio 16:9, version 1.2.3.4"),
        ("push to rtmp://localhost:1935/cam failed", "push to [internal] failed"),
        ("2-http://10.0.0.7:9935/x", "2-[internal]"),
        ("a" * PART + " lookup gateway.svc: no such host", "a" * PART + " lookup [internal]: no such host"),
        ("a" * (PART - 8) + " lookup gateway.svc: no such host", "a" * (PART - 8) + " lookup [internal]: no such host"),
        ("a " * (PART // 2 - 4) + "http://10.0.0.7:9935/x", "a " * (PART // 2 - 4) + "[internal]"),
    ],
)
def test_no_address_inside_the_network_is_in_a_text(text: str, public: str) -> None:
    assert PublicUrls(ORIGIN).rewrite_text(text) == public


def test_a_status_does_not_say_which_orchestrator_serves_a_stream() -> None:
    status = {
        "orchestrator": "https://orch.example:8935",
        "inference_status": {"last_error": "dial tcp 10.0.0.7:80: refused", "last_params": {"prompt": "10.0.0.7:80"}},
        "orchestrator_info": {"url": "https://orch.example:8935"},
        "outputs": [{"whep_url": "http://gateway/live/a"}],
        "error": {"error_message": 'Post "http://10.0.0.7/x": EOF', "error_time": 1},
    }
    assert PublicUrls(ORIGIN).rewrite_document(status) == {
        "inference_status": {"last_error": "dial tcp [internal]: refused", "last_params": {"prompt": "10.0.0.7:80"}},
        "outputs": [{"whep_url": f"{ORIGIN}/live/a"}],
        "error": {"error_message": 'Post "[internal]": EOF', "error_time": 1},
    }
