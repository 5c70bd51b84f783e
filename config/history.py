"""Settings of `history`."""

from pydantic import Field

from config.base import Model
from config.runtime import LedgerSettings


class HistorySettings(Model):
    """How long Redis keeps what the history has; the address of the history is `history_url`."""

    keep_in_redis_seconds: int = Field(
        3600,
        ge=0,
        le=31_536_000,
        description="Seconds for which Redis keeps events that the history has; at least twice "
        "`ledger.replay_window_seconds`.",
    )
    keep_totals_days: int = Field(
        2, ge=2, le=366, description="Days, today included, whose running totals stay in Redis."
    )
    export_group_expiry_seconds: int = Field(
        604_800,
        ge=60,
        le=31_536_000,
        description="Seconds after which an export group that nobody reads any more is removed from Redis, where it "
        "holds up trimming. Its next run goes on in the history, where it was.",
    )
    events_months: int | None = Field(
        None,
        ge=1,
        le=1_200,
        description="Whole months before the current one of which events are kept; older ones are pruned, their "
        "running totals stay. Unset: for ever.",
    )
    batch: int = Field(5_000, ge=1, le=100_000, description="Most events that are archived in one transaction.")


def short_of_replay(history: HistorySettings, ledger: LedgerSettings) -> str:
    """Return what is wrong with events that leave Redis while a failover may still replay them."""
    return (
        f"is {history.keep_in_redis_seconds}, less than twice ledger.replay_window_seconds, "
        f"{ledger.replay_window_seconds:g}: a failover could leave totals short; raise history.keep_in_redis_seconds "
        "or lower ledger.replay_window_seconds"
    )
