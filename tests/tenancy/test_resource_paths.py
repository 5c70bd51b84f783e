"""What each route's path names, and the target by which the gateway knows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from middlewares.exchange import Refusal
from middlewares.routes import BY_NAME
from middlewares.routing.matching import is_name
from middlewares.routing.traits import Names
from middlewares.tenancy.affinity_table import ResourceKind
from middlewares.tenancy.resource_paths import READERS, must_be_known

APP, OTHER = "app_aaaaaaaaaaaaaaaa", "app_bbbbbbbbbbbbbbbb"
OWN = f"{APP}_cam"

READINGS = [
    ("live-push", "/live/{}/0.ts", [(ResourceKind.MANIFEST, OWN)]),
    ("live-push", "/live/{}/12.mp4?x=%41", [(ResourceKind.MANIFEST, OWN)]),
    ("playback", "/stream/{}.m3u8", [(ResourceKind.MANIFEST, OWN)]),
    ("playback", "/stream/{}/P720p30fps16x9.m3u8?a=/b/c", [(ResourceKind.MANIFEST, OWN)]),
    ("playback", "/stream/{}/source/7.ts", [(ResourceKind.MANIFEST, OWN)]),
    ("recording", "/recordings/{}/source/3.ts", [(ResourceKind.MANIFEST, OWN)]),
    ("live-whip", "/live/video-to-video/{}/whip?params=%7B%7D", [(ResourceKind.LIVE, OWN)]),
    ("live-update", "/live/video-to-video/{}/update", [(ResourceKind.LIVE, OWN)]),
    ("live-status", "/live/video-to-video/{}/status", [(ResourceKind.LIVE, OWN)]),
    ("live-whep", "/live/video-to-video/{}-out/whep", [(ResourceKind.LIVE, OWN), (ResourceKind.BYOC, OWN)]),
    ("live-whep", "/live/video-to-video/{}-0a1b2c3d-out/whep", [(ResourceKind.LIVE, OWN), (ResourceKind.BYOC, OWN)]),
    ("byoc-stream-stop", "/process/stream/{}/stop", [(ResourceKind.BYOC, OWN)]),
    ("byoc-stream-data", "/process/stream/{}/data", [(ResourceKind.BYOC, OWN)]),
]


@pytest.mark.parametrize(("route", "path", "resources"), READINGS)
@pytest.mark.parametrize("requested", ["cam", OWN])
def test_a_name_is_read_bare_and_in_full(
    route: str, path: str, resources: list[tuple[ResourceKind, str]], requested: str
) -> None:
    readings = READERS[BY_NAME[route].names](APP, path.format(requested).encode())
    assert [(each.resource.kind, each.resource.name) for each in readings] == resources
    assert {each.target.decode() for each in readings} == {path.format(OWN)}
    assert {each.resource.app for each in readings} == {APP}


@pytest.mark.parametrize(("route", "path", "resources"), READINGS)
def test_a_name_of_another_app_is_not_found(route: str, path: str, resources: list[tuple[ResourceKind, str]]) -> None:
    with pytest.raises(Refusal) as refused:
        READERS[BY_NAME[route].names](APP, path.format(f"{OTHER}_cam").encode())
    assert (refused.value.status, refused.value.code) == (404, "unknown_id")


def test_a_result_keeps_the_id_that_its_gateway_made_up() -> None:
    """Unless a manifest of the app's own has that name: then its playlists are meant."""
    result, manifest = READERS[Names.PLAYED_FILE](APP, b"/stream/0a1b2c3d/result%20one.png?x")
    assert (result.resource.kind, result.target) == (ResourceKind.RESULT, b"/stream/0a1b2c3d/result%20one.png?x")
    assert manifest.target == f"/stream/{APP}_0a1b2c3d/result%20one.png?x".encode()
    [playlist] = READERS[Names.PLAYED_FILE](APP, b"/stream/0a1b2c3d.m3u8")
    assert playlist.resource.kind is ResourceKind.MANIFEST


@pytest.mark.parametrize(
    "disguise", [f"%61{OTHER[1:]}_cam", OTHER.upper() + "_cam", f"{OTHER}%5Fcam", f"x/{OTHER}_cam"]
)
def test_a_disguised_name_stays_in_the_callers_namespace(disguise: str) -> None:
    """Whatever the gateway makes of it after decoding, it begins with the caller's own app."""
    readings = READERS[Names.PLAYED_FILE](APP, f"/stream/{disguise}/source.m3u8".encode())
    assert [each.target for each in readings] == [f"/stream/{APP}_{disguise}/source.m3u8".encode()]


PATHS = {route: path for route, path, _ in READINGS}
SEGMENTS = st.text("abAB01._-~%/;:@&=+$,", max_size=30) | st.sampled_from([OWN, f"{OTHER}_cam", "0a1b2c3d/x", "%61pp_"])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=3).map("".join)


@given(st.sampled_from(sorted(PATHS)), NAMES)
def test_whatever_a_path_says_it_stays_in_the_callers_namespace(route: str, requested: str) -> None:
    """But for results, which must have an entry under the caller's app."""
    try:
        readings = READERS[BY_NAME[route].names](APP, PATHS[route].format(requested).encode())
    except Refusal:
        return
    for reading in readings:
        assert reading.resource.app == APP
        if reading.resource.kind is not ResourceKind.RESULT:
            assert reading.resource.name.startswith(f"{APP}_")
            assert f"/{APP}_" in reading.target.decode()
    assert must_be_known(readings) is (readings[0].resource.kind in (ResourceKind.RESULT, ResourceKind.BYOC))


def test_a_name_has_room_for_its_app() -> None:
    longest = "n" * 179
    [reading] = READERS[Names.MANIFEST](APP, f"/live/{longest}/0.ts".encode())
    assert is_name(reading.resource.name.encode())
    with pytest.raises(Refusal) as refused:
        READERS[Names.MANIFEST](APP, f"/live/{longest}n/0.ts".encode())
    assert refused.value.status == 400
    assert "179" in refused.value.detail


def test_everything_that_a_path_can_name_is_read() -> None:
    """A name that is new to the route table must not slip through to a gateway as it was sent."""
    in_body = {Names.NEW_BYOC_STREAM, Names.DETACHED_VIDEO}
    assert READERS.keys() == set(Names) - in_body - {Names.NOTHING}
