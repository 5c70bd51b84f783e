"""Two requests have the same fingerprint if, and only if, they ask for the same, however their bytes arrive."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from middlewares.idempotent_request import RequestFingerprint

BODY = st.text("ab-\r\n", max_size=40).map(str.encode)
BOUNDARY = st.sampled_from([b"a", b"ab", b"aab", b"--a-b"])
CUTS = st.lists(st.integers(0, 60), max_size=6)


def fingerprint(body: bytes, cuts: Sequence[int] = (), boundary: bytes = b"", target: bytes = b"/x") -> bytes:
    made = RequestFingerprint(target, b"", boundary)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        assert made.value == b""
        made.update(body[start:end], more=True)
    made.update(b"", more=False)
    return made.value


@given(BODY, CUTS, st.one_of(st.just(b""), BOUNDARY))
def test_any_chunking_has_the_same(body: bytes, cuts: Sequence[int], boundary: bytes) -> None:
    assert fingerprint(body, cuts, boundary) == fingerprint(body, (), boundary)


@given(BODY, BODY)
def test_other_bodies_have_another(body: bytes, other: bytes) -> None:
    assert (fingerprint(body) == fingerprint(other)) is (body == other)


@given(st.lists(BODY.filter(lambda body: b"=" not in body), min_size=1, max_size=4))
def test_a_form_with_another_boundary_has_the_same(parts: list[bytes]) -> None:
    first, second = [fingerprint(mark.join(parts), (7, 11), mark) for mark in (b"==one==", b"==another==")]
    assert first == second


def test_target_job_and_body_do_not_run_into_each_other() -> None:
    made = {
        RequestFingerprint(target, job).value or fingerprint(body, target=target + job)
        for target, job, body in ((b"/x", b"", b"yz"), (b"/xy", b"", b"z"), (b"/", b"x", b"yz "), (b"/x 0  ", b"", b""))
    }
    assert len(made) == 4
