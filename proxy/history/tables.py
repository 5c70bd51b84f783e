"""Tables of the history. Times are Unix milliseconds in UTC, days are UTC days, amounts are atomic units.

The migrations create them; this module is what reads and writes go by.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Dialect,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

BIG = BigInteger().with_variant(Integer, "sqlite")
"""64-bit integer; SQLite generates values only for its own name of it."""


class Exact(TypeDecorator[int]):
    """Integer of any size: NUMERIC in PostgreSQL, decimal text in SQLite, which has no such number."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Return the type that this database keeps it in."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric(asdecimal=True))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """Return what is sent to the database."""
        if value is None:
            return None
        return str(value) if dialect.name == "sqlite" else Decimal(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """Return what the database sent, as an integer."""
        return None if value is None else int(value)


METADATA = MetaData()

IDENTITY = Table("tollgate_identity", METADATA, Column("id", Text, primary_key=True))
"""One row: what this history is called in the Redis that it belongs to."""

EVENTS = Table(
    "tollgate_events",
    METADATA,
    Column("seq", BIG, primary_key=True, doc="Order in which events of one hash tag were archived."),
    Column("id", Text, nullable=False, unique=True, doc="Id of the event; each is here once."),
    Column("tag", SmallInteger, nullable=False, doc="Number of the hash tag whose stream it came from."),
    Column("entry_ms", BigInteger, nullable=False, doc="First half of its id in the stream."),
    Column("entry_seq", BigInteger, nullable=False, doc="Second half of its id in the stream."),
    Column("time", BigInteger, nullable=False),
    Column("app", Text, nullable=False),
    Column("user_id", Text),
    Column("key_id", Text),
    Column("plan", Text, nullable=False),
    Column("workload", Text),
    Column("model", Text, nullable=False),
    Column("type", String(16), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("amount", Exact),
    Column("gross", Exact, doc="Amount without included money, where some was included."),
    Column("wallet", String(8), nullable=False, doc="Wallet that it changed: `app`, `user` or none."),
    Column("event", Text, nullable=False, doc="The event as the ledger wrote it (JSON)."),
    Column("fields", Text, doc="All fields of the entry, where the columns do not hold them exactly (JSON of base64)."),
)
"""Usage events; rows are added, never changed, but for erasure."""

TOTALS = Table(
    "tollgate_totals",
    METADATA,
    Column("app", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("workload", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("what", Text, primary_key=True, doc="`requests`, `amount` or a unit."),
    Column("number", Exact, nullable=False),
)
"""Running totals of archived events by day; empty text stands for no user, key, workload or model."""

WALLETS = Table(
    "tollgate_wallets",
    METADATA,
    Column("app", Text, primary_key=True),
    Column("user_id", Text, primary_key=True, doc="Empty: the wallet of the app."),
    Column("day", Date, primary_key=True),
    Column("granted", Exact, nullable=False),
    Column("debited", Exact, nullable=False),
    Column("spent", Exact, nullable=False),
)
"""Movements of wallets by day, from which opening balances are computed."""

CURSORS = Table(
    "tollgate_cursors",
    METADATA,
    Column("tag", SmallInteger, primary_key=True),
    Column("token", BigInteger, nullable=False, doc="Fencing token: goes up whenever an archiver takes over."),
    Column("server", Text, nullable=False, doc="Run id of the Redis server that `entry` is of."),
    Column("entry_ms", BigInteger, nullable=False),
    Column("entry_seq", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False, doc="Largest `seq` of the tag's events."),
    Column("trimmed_ms", BigInteger, nullable=False),
    Column("trimmed_seq", BigInteger, nullable=False),
    Column("closed", Date, doc="Last day whose running totals stand here alone, and no more in Redis."),
    Column("pruned_ms", BigInteger, nullable=False, server_default="0", doc="Events before it may be pruned."),
)
"""How far each stream is archived (`entry`), and up to where it may have been trimmed (`trimmed`)."""

REDIS_DAYS = Table(
    "tollgate_redis_days",
    METADATA,
    Column("tag", SmallInteger, primary_key=True),
    Column("app", Text, primary_key=True),
    Column("day", Date, primary_key=True),
)
"""Days of apps whose running totals may still stand in Redis, too."""

EXPORT_GROUPS = Table(
    "tollgate_export_groups",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("tag", SmallInteger, primary_key=True),
    Column("seq", BigInteger, nullable=False, doc="Everything up to here was delivered."),
    Column("until", BigInteger, nullable=False, doc="Up to here it is delivered from the history, then from Redis."),
    Column("entry_ms", BigInteger, nullable=False),
    Column("entry_seq", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False, doc="When it was last seen to move, Redis time."),
)
"""How far each export group has come in each stream."""

AUDIT = Table(
    "tollgate_audit",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, doc="Place in the chain, from 1 without gaps."),
    Column("id", Text, nullable=False, unique=True),
    Column("time", BigInteger, nullable=False),
    Column("entry_seq", BigInteger, nullable=False, doc="Order among the lines of one millisecond."),
    Column("app", Text, nullable=False, doc="App whose tenant may read the line; empty: none."),
    Column("actor_kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key_id", Text, doc="Key that the actor had."),
    Column("action", Text, nullable=False),
    Column("target_kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("numbers", Text, nullable=False, doc="Numbers of the details (JSON)."),
    Column("private", Text, doc="Address and texts of the details (JSON); nothing after an erasure."),
    Column("salt", Text, doc="Salt of the digest; goes with the private part."),
    Column("digest", Text, nullable=False, doc="Salted digest of the private part, which the chain covers."),
    Column("hash", Text, nullable=False),
)
"""Audit lines; rows are added, never changed, but that the private part may go. Triggers see to that."""

AUDIT_HEAD = Table(
    "tollgate_audit_head",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
"""One row: the last line of the chain, which whoever adds a line locks."""

REFUSALS = Table(
    "tollgate_refusals",
    METADATA,
    Column("id", Text, primary_key=True, doc="Id of the request."),
    Column("time", BigInteger, nullable=False),
    Column("app", Text, nullable=False),
    Column("user_id", Text),
    Column("refusal", Text, nullable=False, doc="The record as a worker wrote it (JSON)."),
)
"""Refused requests of known apps, the newest of each."""

PLANS = Table(
    "tollgate_plans",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("plan", Text, nullable=False, doc="The plan as it was declared, with its defaults (JSON)."),
)
"""Every version of a plan that was ever in force, so that its prices can be told later."""

OUTBOX = Table(
    "tollgate_webhooks",
    METADATA,
    Column("seq", BIG, primary_key=True, doc="Order in which they are sent to an endpoint."),
    Column("endpoint", Text, nullable=False),
    Column("id", Text, nullable=False, doc="Id of the notification; each is here once for an endpoint."),
    Column("owner", Text, nullable=False, doc="Client id of the app, or the operator."),
    Column("kind", Text, nullable=False),
    Column("time", BigInteger, nullable=False, doc="When it was found."),
    Column("body", Text, nullable=False, doc="What is sent; empty once it is not kept any more."),
    Column("lasting", Boolean, nullable=False, doc="The row stays, for its cause may be found again."),
    Column("state", String(16), nullable=False, doc="`pending`, `delivered` or `failed`."),
    Column("attempts", Integer, nullable=False),
    Column("since", BigInteger, nullable=False, doc="From when on the day of attempts counts."),
    Column("due", BigInteger, nullable=False, doc="Earliest time of the next attempt."),
    Column("tried", BigInteger, doc="When it was last tried."),
    Column("status", Integer, nullable=False, doc="HTTP status of the last attempt; 0: there was no response."),
    Column("error", Text, nullable=False),
    UniqueConstraint("endpoint", "id"),
)
"""Webhooks to send, and what came of them."""

OUTBOX_CURSORS = Table(
    "tollgate_webhook_cursors",
    METADATA,
    Column("tag", SmallInteger, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
"""Up to which event of each hash tag the limits of whoever caused it were looked at."""
