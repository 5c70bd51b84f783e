"""Numbers that sentences name are those of the code, and what is counted is said in one place only."""

from __future__ import annotations

import re

import pytest

from config.access import Edge
from config.plans import BUILT_IN_PLANS, Unreadable
from config.routing import Health
from config.runtime import StoreSettings
from config.workloads import Workload
from middlewares.gateway_facts import VIDEO_FRAMES
from middlewares.ledger.sessions.session import STREAM_TICK_MS
from proxy.cli.reference import ALIAS
from tests.docs.pages import PAGES, prose, section
from tests.docs.shell import TOLLGATE

NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
STANDARD = BUILT_IN_PLANS["standard"].limits.app.requests_per_minute


def plain(text: str) -> str:
    """Return a text in one line."""
    return " ".join(text.split())


def default_overlap() -> str:
    """Return the default of `tollgate keys rotate --overlap`."""
    rotate = TOLLGATE.commands["keys"].commands["rotate"]  # type: ignore[attr-defined]
    [default] = [each.default for each in rotate.params if each.name == "overlap"]
    return str(default)


FACTS = [
    ("proxy/README.md", f"fails {NUMBERS[Health().failures]} times in a row"),
    ("proxy/README.md", f"probed every {NUMBERS[round(Health().ejection_seconds)]} seconds"),
    ("README.md", f"wait {StoreSettings().deadline_seconds * 1000:.0f} ms at most"),
    ("README.md", f"`standard`: {STANDARD.max if STANDARD else 0} requests a minute"),
    ("README.md", f"{default_overlap().removesuffix('h')} hours by default"),
    ("proxy/cli/README.md", f"{default_overlap().removesuffix('h')} hours by default"),
    ("middlewares/README.md", f"charged every {STREAM_TICK_MS // 1000} seconds"),
    ("middlewares/README.md", f"`pixels` of {VIDEO_FRAMES} frames"),
    ("middlewares/README.md", f"work below `{ALIAS}`"),
    ("middlewares/README.md", NUMBERS[len(BUILT_IN_PLANS)].capitalize() + " plans exist without any configuration"),
]


@pytest.mark.parametrize(("page", "fact"), FACTS)
def test_numbers_are_those_of_the_code(page: str, fact: str) -> None:
    assert fact in plain(PAGES[page])


def test_kinds_of_files_are_those_of_the_settings() -> None:
    texts = " ".join(str(field.description) for field in Unreadable.model_fields.values())
    named = re.findall(r"Images may be (.*?);", plain(section("middlewares/README.md", "Metering")))
    assert named
    for kind in re.findall(r"\b(?:PNG|JPEG|WebP|GIF)\b", texts):
        assert kind in named[0]


def test_asynchronous_video_is_off_and_not_advised() -> None:
    assert not Edge().async_video
    for text in PAGES.values():
        assert "-objectStore" not in text


def test_what_is_counted_is_said_in_one_place() -> None:
    """A second list of what is counted contradicts the table as soon as one of the two changes."""
    names = "|".join(workload.value for workload in Workload)
    for page, text in PAGES.items():
        rest = text.replace(section(page, "Metering"), "") if page == "middlewares/README.md" else text
        for paragraph in re.split(r"\n\s*\n", prose(rest)):
            if re.search(rf"`/?(?:{names})`", paragraph):
                assert not re.search(r"\b(pixels|tokens|characters|generations|wall time)\b", paragraph), paragraph
