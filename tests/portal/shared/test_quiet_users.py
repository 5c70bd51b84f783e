"""The view of a user who has used nothing for long, in an app that others use much."""

from __future__ import annotations

import pytest

from middlewares.ledger.settlement.event import ENCODER
from proxy.history.batch import read, row_of
from proxy.history.bulk import insert_events
from proxy.history.newest import LOOK_AT
from proxy.history.store import History
from proxy.store.configured import redis_keys
from tests.history.fakes import event
from tests.portal.browser import text_of
from tests.portal.conftest import tenant
from tests.portal.shared.test_view_links import VIEW, Owner
from tests.support.deployment import Deployment

pytestmark = pytest.mark.asyncio(loop_scope="package")
TIME = 1_700_000_000_000


@pytest.mark.slow
async def test_requests_that_were_not_looked_at_are_not_said_to_be_none(running: Deployment) -> None:
    """Hazard: so many events of others are newer that those of the user are not reached, and "none yet" is shown."""
    app = await tenant(running, "House of the Quiet")
    loud = await running.user(app.app, "loud")
    uses = [(app.user, TIME), *((loud, TIME + number) for number in range(1, LOOK_AT + 2))]
    keys, history = redis_keys(running.settings), History.of(running.settings)
    tag = keys.tags.index(keys.tag(app.app))
    rows = []
    for number, (user, time) in enumerate(uses, 1):
        fields = {b"event": ENCODER.encode(event(app.app, user=user, time=time)), b"amount": b"1"}
        rows.append(row_of(tag, read(0, [(f"{time}-{number}".encode(), fields)])[0]))
    await history.write(insert_events, rows)
    await history.close()
    quiet = text_of(await (await Owner(app).opened("ann")).page(VIEW))
    assert "None of the newest requests of the app are shown here; older ones may be." in quiet
    assert "There are no requests yet." not in quiet
    assert "None of the newest" not in text_of(await (await Owner(app).opened("loud")).page(VIEW))
