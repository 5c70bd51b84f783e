"""`tollgate credits`, and what becomes of credits in statements."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from config.plans import Billing, Plan
from config.prices import Price
from config.workloads import SaleUnit, Unit
from middlewares.ledger.credit import prepaid
from middlewares.ledger.credit.expiry import LotExpiry
from middlewares.ledger.credit.lots import LotTerms
from proxy.api.admin.ledger_documents import CreditGrant
from proxy.control.users import Users
from proxy.reporting.dates import redis_today
from tests.reporting.command import Command
from tests.reporting.ledger_fixture import RecordedUsage
from tests.support.deployment import eventually

HUGE = 10**27
PREPAID = Plan(billing=Billing.CREDITS, prices=(Price(unit=SaleUnit.PIXELS, amount=1, per=1),))


async def test_granted_shown_and_debited(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    granted = (await tollgate("credits", "grant", "--app", app, str(HUGE), "--reference", "inv 1", "--json")).json
    assert granted == {
        "app": app,
        "user": None,
        "available": str(HUGE),
        "granted": str(HUGE),
        "spent": "0",
        "held": "0",
        "currency": {"code": "ETH", "decimals": 18},
        "reference": "inv 1",
        "repeated": False,
    }
    debited = (await tollgate("credits", "debit", "--app", app, "1", "--json")).json
    assert (debited["available"], debited["repeated"]) == (str(HUGE - 1), False)
    shown = (await tollgate("credits", "show", "--app", app, "--json")).json
    assert shown["available"] == str(HUGE - 1)
    assert "available: 999999999.999999999999999999 ETH" in (await tollgate("credits", "show", "--app", app)).out


async def test_a_reference_counts_once(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    for repeated in (False, True, True):
        done = (await tollgate("credits", "grant", "--app", app, "5", "--reference", "r", "--json")).json
        assert (done["available"], done["repeated"]) == ("5", repeated)
    other = await tollgate("credits", "grant", "--app", app, "6", "--reference", "r")
    assert (other.code, other.out) == (1, "")
    assert "'r'" in other.err


async def test_a_user_has_a_wallet_of_its_own(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    user, _ = await Users(usage_records.store.redis).create(app, "ann")
    for owner, amount in ((user.user_id, 7), ("issued-1", 8)):
        assert (await tollgate("credits", "grant", "--app", app, "--user", owner, str(amount), "--json")).code == 0
        found = await prepaid.balance(usage_records.store, usage_records.keys, app, owner)
        assert found.available == amount
    assert (await prepaid.balance(usage_records.store, usage_records.keys, app, None)).available == 0


async def test_more_than_there_is_cannot_be_taken_unless_forced(
    usage_records: RecordedUsage, tollgate: Command
) -> None:
    app = await usage_records.app()
    await prepaid.grant(usage_records.store, usage_records.keys, app, None, 5, reference="r")
    done = await tollgate("credits", "debit", "--app", app, "6")
    assert (done.code, done.out) == (1, "")
    assert (await prepaid.balance(usage_records.store, usage_records.keys, app, None)).available == 5
    forced = (await tollgate("credits", "debit", "--app", app, "6", "--force", "--json")).json
    assert forced["available"] == "-1"


async def test_what_does_not_exist(usage_records: RecordedUsage, tollgate: Command) -> None:
    app, foreign = await usage_records.app(), await usage_records.app()
    user, _ = await Users(usage_records.store.redis).create(foreign, "ann")
    nobody, stranger = ("--app", "app_aaaaaaaaaaaaaaaa"), ("--app", app, "--user", user.user_id)
    for command in (("grant", "5", *nobody), ("show", *nobody), ("grant", "5", *stranger)):
        done = await tollgate("credits", *command)
        assert (done.code, done.out) == (1, "")
        assert "there is no" in done.err
    assert (await prepaid.balance(usage_records.store, usage_records.keys, app, user.user_id)).granted == 0


async def test_what_is_no_amount_is_exit_2_and_nothing_changed(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    for command, amount in product(("grant", "debit"), ("-5", "1.5")):
        done = await tollgate("credits", command, "--app", app, amount)
        assert (done.code, done.out) == (2, "")
        assert done.err
    assert await usage_records.store.redis.exists(usage_records.keys.wallet(app)) == 0
    assert await usage_records.store.redis.exists(usage_records.keys.shared(usage_records.keys.tag(app)).events) == 0


@pytest.mark.ci
async def test_a_statement_opens_and_closes_with_what_the_wallet_has(
    usage_records: RecordedUsage, tollgate: Command
) -> None:
    app = await usage_records.app(plan="prepaid")
    await prepaid.grant(usage_records.store, usage_records.keys, app, None, HUGE, reference="first")
    await prepaid.grant(usage_records.store, usage_records.keys, app, "u1", 50, reference="second")
    await prepaid.debit(usage_records.store, usage_records.keys, app, None, 10, reference="third")
    for user, amount in ((None, 3), ("u1", 20), ("u2", 4)):
        await usage_records.request(
            app, user=user, plan=PREPAID, plan_name="prepaid", units={Unit.PIXELS: amount}, amount=amount
        )
    month = (await redis_today(usage_records.store.redis)).isoformat()[:7]
    found = (await tollgate("statements", "--app", app, "--period", month, "--json")).json
    own = {
        "opening": "0",
        "granted": "50",
        "debited": "0",
        "expired": "0",
        "returned": "0",
        "spent": "20",
        "closing": "30",
    }
    shared = {
        "opening": "0",
        "granted": str(HUGE),
        "debited": "10",
        "expired": "0",
        "returned": "0",
        "spent": "7",
        "closing": str(HUGE - 17),
    }
    assert found["credits"] == [{"user": None, **shared}, {"user": "u1", **own}]
    assert found["totals"]["amount"] == "27"
    assert found["event_count"] == 6
    wallet = await prepaid.balance(usage_records.store, usage_records.keys, app, None)
    assert str(wallet.available) == found["credits"][0]["closing"]
    later = (await tollgate("statements", "--app", app, "--period", "9998-01", "--json")).json
    assert [(each["opening"], each["closing"]) for each in later["credits"]] == [(str(HUGE - 17),) * 2, ("30", "30")]
    assert (later["event_count"], later["totals"]["amount"]) == (0, "0")
    text = (await tollgate("statements", "--app", app, "--period", month)).out
    assert "closing ETH" in text


@pytest.mark.ci
async def test_credits_are_no_usage_for_those_who_bill_it(usage_records: RecordedUsage, tollgate: Command) -> None:
    app = await usage_records.app()
    await prepaid.grant(usage_records.store, usage_records.keys, app, None, 5, reference="r")
    paid = await usage_records.request(app, amount=1)
    done = await tollgate("export", "--to", "stdout", "--format", "lago", "--group", "lago")
    assert [json.loads(line)["transaction_id"] for line in done.out.splitlines()] == [paid]
    done = await tollgate("export", "--to", "stdout")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [event["type"] for event in events] == ["tollgate.credit", "tollgate.usage"]
    assert events[0]["data"]["reference"] == "r"


@pytest.mark.parametrize("when", ["0026-12-31", "1969-12-31T23:59:59.999Z", "1970-01-01", "1970-01-01T00:00:00.001Z"])
async def test_an_expiry_long_past_makes_no_credits_for_ever(
    usage_records: RecordedUsage, tollgate: Command, when: str
) -> None:
    """Hazard: a mistyped year, and what was to expire never does."""
    app = await usage_records.app()
    past = await tollgate("credits", "grant", "--app", app, "5", "--expires", when)
    assert (past.code, past.out) == (2, "")
    assert re.search("must (expire in the future|be after 1970-01-01)", past.err)
    assert (await tollgate("credits", "show", "--app", app, "--json")).json["available"] == "0"


def test_a_far_expiry_is_exact_to_the_millisecond() -> None:
    for milliseconds in range(4_000_000_000_000, 4_000_000_002_000):
        expires = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        assert CreditGrant(amount="1", reference="r", expires=expires).terms.expires_ms == milliseconds


@pytest.mark.slow
async def test_lots_are_granted_listed_and_in_statements_once_they_expire(
    usage_records: RecordedUsage, tollgate: Command
) -> None:
    app = await usage_records.app()
    await tollgate("credits", "grant", "--app", app, "5")
    later = ("--promotional", "--expires", "2999-01-01", "--reference", "gift")
    for repeated in (False, True):
        done = (await tollgate("credits", "grant", "--app", app, "7", *later, "--json")).json
        assert (done["available"], done["repeated"]) == ("12", repeated)
    other = await tollgate("credits", "grant", "--app", app, "7", "--reference", "gift")
    assert (other.code, "'gift'" in other.err) == (1, True)
    past = await tollgate("credits", "grant", "--app", app, "1", "--expires", "2020-01-01")
    assert "must expire in the future" in past.err
    [lot] = (await tollgate("credits", "show", "--app", app, "--json")).json["lots"]
    assert (lot["promotional"], lot["expires"], lot["left"], lot["held"]) == (True, "2999-01-01T00:00:00Z", "7", "0")
    assert lot["id"] in (await tollgate("credits", "show", "--app", app)).out

    soon = int((await usage_records.store.redis.time())[0]) * 1_000 + 1_500
    terms = LotTerms(expires_ms=soon)
    store, keys = usage_records.store, usage_records.keys
    await prepaid.grant(store, keys, app, None, 11, reference="short", terms=terms)

    async def expired() -> bool:
        return await LotExpiry(store, keys).sweep() == 1

    await eventually(expired)
    assert (await prepaid.balance(store, keys, app, None)).available == 12
    today = (await redis_today(store.redis)).isoformat()
    found = (await tollgate("statements", "--app", app, "--period", today, "--json")).json["credits"]
    moved = {"opening": "0", "granted": "23", "debited": "0", "expired": "11", "returned": "0", "spent": "0"}
    assert found == [{"user": None, **moved, "closing": "12"}]
    assert (await tollgate("verify", "--app", app)).code == 0
