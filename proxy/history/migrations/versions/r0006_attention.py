"""An index of the events that need attention, which are few, so that those of all apps are found without a scan."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the index. Its condition has to be that of `proxy.history.explain.house`, letter by letter."""
    op.create_index(
        "tollgate_events_attention",
        "tollgate_events",
        ["tag", "time", "id"],
        sqlite_where=sa.text(r"""instr(event, '"attention"\:true') > 0"""),
        postgresql_where=sa.text(r"""strpos(event, '"attention"\:true') > 0"""),
    )
