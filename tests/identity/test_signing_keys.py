"""Hazards: two rotations whose keys take turns, and a token that outlives the key it was signed with."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from config.control import IssuerSettings
from proxy.identity.signing_keys import SigningKey, current, generate, living, rotated

SETTINGS = IssuerSettings()
LONGEST = SETTINGS.longest_seconds
SECONDS = st.integers(0, 3 * LONGEST)


def test_a_second_rotation_with_a_shorter_lead_is_not_undone_by_the_first() -> None:
    """Hazard: the first of two new keys takes over again and signs until it ends, so that valid tokens get a 401."""
    old = generate("ES256", 0)
    first = rotated([old], SETTINGS, 0, lead=3_000)
    second = rotated(first, SETTINGS, 1, lead=600)
    newest = second[-1].kid
    assert [current(second, now).kid for now in (600, 601, 2_999, 3_000, 4_000, 9_000)] == [old.kid, *[newest] * 5]


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=6), st.lists(st.integers(0, 20 * LONGEST)))
def test_each_token_is_verifiable_for_all_its_life_and_no_replaced_key_signs_again(
    rotations: list[tuple[int, int]], others: list[int]
) -> None:
    """`rotations`: seconds since the one before, and lead; `others`: further times at which a token is signed."""
    made, now = [generate("ES256", 0)], 0
    states: list[tuple[int, list[SigningKey]]] = [(0, list(made))]
    for gap, lead in rotations:
        now += gap
        keys = rotated(living(states[-1][1], now), SETTINGS, now, lead=lead)
        made.append(keys[-1])
        states.append((now, keys))

    def keys_at(time: float) -> list[SigningKey]:
        return living([keys for since, keys in states if since <= time][-1], time)

    steps = {*others, *(since for since, _ in states), *(int(key.signs_from) for key in made)}
    steps |= {int(key.ends_at) - 1 for _, keys in states for key in keys if key.ends_at is not None}
    signed = [(time, current(keys_at(time), time).kid) for time in sorted(steps)]
    order = [key.kid for key in made]
    assert all(order.index(before) <= order.index(after) for (_, before), (_, after) in pairwise(signed))
    for time, kid in signed:
        expires = time + LONGEST
        for moment in (expires, *(each for each in steps if time <= each <= expires)):
            assert kid in {key.kid for key in keys_at(moment)}
