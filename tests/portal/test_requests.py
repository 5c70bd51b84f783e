"""Hazard: one entry of the ledger that cannot be read hides all other requests of a page."""

from __future__ import annotations

from middlewares.ledger.settlement.event import ENCODER
from proxy.portal.tenant.requests import readable_rows
from tests.history.fakes import event


def test_an_entry_that_cannot_be_read_hides_no_other() -> None:
    good = {b"event": ENCODER.encode(event("app_a", id="one")), b"amount": b"7"}
    entries = [
        (b"1-0", {**good, b"amount": b"seven"}),
        (b"2-0", good),
        (b"3-0", {**good, b"event": b"{"}),
        (b"4-0", {}),
    ]
    [row] = readable_rows("events", entries)
    assert (row.recorded.event.id, row.recorded.amount) == ("one", "7")
