"""Every link of every README leads somewhere: relative files and anchors, ours and those of other pages."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.docs.pages import FOLDERS, PAGES, ROOT, prose, without_blocks

LONGEST_PAGE = 250
"""Lines of the root README."""
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page; a repeated one gets a number."""
    seen: Counter[str] = Counter()
    found = set()
    for title in re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def test_there_are_links() -> None:
    assert sum(len(LINK.findall(without_blocks(text))) for text in PAGES.values()) > 40


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    for link in LINK.findall(without_blocks((ROOT / page).read_text())):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


def test_every_page_can_be_reached_from_the_first() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in PAGES and page not in reached:
            reached.add(page)
            for link in LINK.findall(without_blocks(PAGES[page])):
                path = ((ROOT / page).parent / link.partition("#")[0]).resolve()
                if not link.startswith("https://") and path.is_relative_to(ROOT):
                    waiting.append(path.relative_to(ROOT).as_posix())
    assert reached == PAGES.keys()


def test_the_first_page_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= LONGEST_PAGE


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    folders = "|".join(FOLDERS)
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", PAGES[page]):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_lines_fit_a_screen(page: str) -> None:
    for line in prose(PAGES[page]).splitlines():
        assert len(line) <= 120 or line.startswith("|"), line
