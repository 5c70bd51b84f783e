"""Versions of the schema are known by the names of the migrations, so that few commands load Alembic."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from proxy.history.schema import latest, versions
from proxy.history.store import History

MIGRATIONS = Path(__file__).parents[2] / "proxy/history/migrations"
USE = """
import asyncio, sys
from sqlalchemy import text
from proxy.history.store import History
history = History.at(sys.argv[1])
asyncio.run(history.read(lambda connection: connection.execute(text("SELECT 1"))))
print("alembic" in sys.modules)
"""


def test_versions_are_those_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    found = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
    assert list(versions()) == found[::-1]
    assert latest() == found[0]


@pytest.mark.ci
def test_a_history_that_needs_no_upgrade_is_used_without_alembic(tmp_path: Path) -> None:
    """Hazard: each command and each archiver takes a tenth of a second longer to start."""
    url = f"sqlite:///{tmp_path}/history.sqlite"
    asyncio.run(History.at(url).upgrade())
    used = subprocess.run([sys.executable, "-c", USE, url], capture_output=True, text=True, check=True, timeout=60)
    assert used.stdout == "False\n"
