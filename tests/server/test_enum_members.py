"""Enumerations behave the same once the slow look-up of their members is gone."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ci


PROGRAM = """
import enum
from proxy.server.worker import drop_member_fallback
from middlewares.exchange import Outcome
import msgspec, pydantic, http, re

drop_member_fallback()
drop_member_fallback()
assert "__getattr__" not in vars(enum.EnumType)
assert Outcome.COMPLETE is Outcome("complete") is Outcome["COMPLETE"]
assert Outcome.COMPLETE.value == "complete" and Outcome.COMPLETE.name == "COMPLETE"
assert http.HTTPStatus.NOT_FOUND.phrase == "Not Found" and re.compile("a", re.IGNORECASE | re.ASCII)
assert msgspec.json.decode(b'"refused"', type=Outcome) is Outcome.REFUSED
assert pydantic.TypeAdapter(Outcome).validate_python("orphaned") is Outcome.ORPHANED

class Kind(enum.Enum):
    FIRST = enum.auto()
    name_ = 2

assert Kind.FIRST.value == 1 and [kind.name for kind in Kind] == ["FIRST", "name_"]
try:
    Outcome.NO_SUCH_MEMBER
except AttributeError as error:
    assert "NO_SUCH_MEMBER" in str(error)
else:
    raise SystemExit("a member that does not exist was found")
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python has removed the fallback itself")
def test_members_are_found_as_before() -> None:
    """In a process of its own, for it changes the interpreter."""
    subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], check=True)
