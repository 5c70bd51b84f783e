"""Each app's names are its own at the gateway, whatever the names are."""

import re

from hypothesis import given
from hypothesis import strategies as st

from middlewares.auth.keys import new_id
from middlewares.tenancy.names import at_gateway, for_caller, owner_and_name

APPS = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=16, max_size=16).map(lambda id_: f"app_{id_}")
ANY_NAMES = st.text(min_size=1)
TRICKY_NAMES = st.recursive(
    ANY_NAMES | st.sampled_from(["cam", "_", "app_", "cam-0123abcd-out", "deadbeef"]),
    lambda names: st.builds(at_gateway, APPS, names) | st.builds(lambda app, name: app + name, APPS, names),
    max_leaves=3,
)


@given(APPS, TRICKY_NAMES)
def test_a_name_can_be_read_back(app: str, name: str) -> None:
    assert owner_and_name(at_gateway(app, name)) == (app, name)


@given(APPS, TRICKY_NAMES, APPS, TRICKY_NAMES)
def test_two_names_never_meet(app: str, name: str, other_app: str, other_name: str) -> None:
    same = (app, name) == (other_app, other_name)
    assert (at_gateway(app, name) == at_gateway(other_app, other_name)) is same


@given(APPS, TRICKY_NAMES)
def test_what_a_caller_reaches_is_its_own(app: str, name: str) -> None:
    reached = for_caller(app, name)
    assert reached is None or reached.startswith(f"{app}_")


@given(APPS, APPS, TRICKY_NAMES)
def test_names_of_another_app_are_nobodys(app: str, other: str, name: str) -> None:
    theirs = at_gateway(other, name)
    assert for_caller(app, theirs) == (theirs if app == other else None)


@given(APPS, ANY_NAMES)
def test_a_name_shown_by_the_gateway_means_the_same_as_the_clients_own(app: str, name: str) -> None:
    shown = for_caller(app, name)
    assert shown is None or for_caller(app, shown) == shown


def test_names_stay_readable_and_legal() -> None:
    app = f"app_{new_id()}"
    assert at_gateway(app, "cam-1") == f"{app}_cam-1"
    assert re.fullmatch("[A-Za-z0-9_]+", at_gateway(app, "cam"))
    assert owner_and_name("cam") is owner_and_name(app) is owner_and_name(f"{app}_") is None
