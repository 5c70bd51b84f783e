"""The `console` blocks of each README, run: each command works, and prints what the page shows.

Ids, times and durations may differ.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import comparable, printed_by
from tests.docs.pages import blocks

PAGES = sorted({block.page for block in blocks() if block.language == "console"})


def test_several_pages_have_console_blocks() -> None:
    assert "README.md" in PAGES
    assert len(PAGES) > 3


@pytest.mark.sampled(2)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
async def test_console_blocks(page: str, tmp_path: Path) -> None:
    for command, shown, printed in await printed_by(page, tmp_path):
        assert comparable(printed.splitlines()) == comparable(shown), command
