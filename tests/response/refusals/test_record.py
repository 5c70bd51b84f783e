"""What is recorded of a refusal: by whom, on which numbers, and nothing that is a secret."""

from __future__ import annotations

import pytest

from config.plans import Plan
from config.workloads import Unit, Workload
from middlewares.auth.middleware import presented
from middlewares.body_buffers import BodyBuffers
from middlewares.edge.body import parse_object
from middlewares.exchange import CredentialOwner, Declaration, Exchange, Principal, Refusal
from middlewares.json_codec import to_json
from middlewares.ledger.model import Denied, Hold, LimitSpec, LimitState
from middlewares.response.refusals.record import DECODER, TEXT_CHARACTERS, owner_of, record_of, rule_of, stage_of
from middlewares.routes import BY_NAME

OWNER = CredentialOwner("app_a", "user_a", "key_a")
PLAN = Plan(tier="standard")
STATE = LimitState(LimitSpec("app-amount-per-day", "amount", 10**20, None), 3, 60)
OTHER = LimitState(LimitSpec("key-concurrent", "concurrent-requests", 5, None), 4, 0)
HOLD = Hold(
    "id", "app_a", "user_a", "key_a", "plan@1", Workload.LLM, "m", 0, estimate=str(10**19), units={Unit.REQUESTS: 1}
)
REFUSAL = Refusal(402, "plan_limit", "too much")


def exchange(**changes: object) -> Exchange:
    found = Exchange("01ARZ3NDEKTSV4RRFFQ69G5FAV", 0.0, "POST", "/llm", route=BY_NAME["llm"])
    found.principal = Principal("app_a", "user_a", "key_a", "plan", PLAN)
    found.declared = Declaration(model="m")
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_a_denial_is_recorded_with_its_rule_and_its_hold() -> None:
    denied = Denied(STATE, "plan_limit", HOLD, 7)
    record = record_of(exchange(denied=denied, limit_states=(OTHER, STATE)), REFUSAL, OWNER, 5)
    assert record.rule == rule_of(exchange(denied=denied), REFUSAL) == "app-amount-per-day"
    assert [(each.policy, each.limit, each.remaining, each.requested, each.refused) for each in record.limits] == [
        ("key-concurrent", "5", "4", "0", False),
        ("app-amount-per-day", str(10**20), "3", "7", True),
    ]
    assert (record.estimate, record.units, record.admitted) == (str(10**19), {Unit.REQUESTS: 1}, False)
    assert (record.plan, record.route, record.workload) == (f"plan@{PLAN.version}", "llm", Workload.LLM)
    assert DECODER.decode(to_json(record)) == record


def test_an_admitted_request_has_its_hold_and_its_attempts() -> None:
    attempts = (("http://10.0.0.1", "gateway_dropped"),)
    record = record_of(exchange(hold=HOLD, failed_attempts=attempts, forwarded=True), REFUSAL, OWNER, 5)
    assert (record.admitted, record.forwarded, record.failed_attempts) == (True, True, attempts)
    assert (record.rule, record.limits) == ("plan_limit", ())


def test_a_limit_in_shadow_mode_is_left_out() -> None:
    shadow = LimitState(LimitSpec("app-concurrent", "concurrent-requests", 5, None, shadow=True), 0, 0)
    assert record_of(exchange(limit_states=(shadow,)), REFUSAL, OWNER, 5).limits == ()


def test_texts_of_clients_are_cut_and_masked() -> None:
    secret = "tgk_aaaaaaaaaaaaaaaa_" + "0" * 49
    refusal = Refusal(403, "insufficient_scope", f"no model {secret!r}" + "x" * 1_000)
    record = record_of(exchange(declared=Declaration(model=secret + "y" * 1_000)), refusal, OWNER, 5)
    assert secret not in to_json(record).decode()
    assert max(map(len, (record.model, record.detail))) == TEXT_CHARACTERS


def test_a_lone_surrogate_can_be_written() -> None:
    record = record_of(exchange(declared=Declaration(model="\ud800")), REFUSAL, OWNER, 5)
    assert b"ud800" in to_json(record)


def test_the_owner_is_known_from_auth_also_where_it_refuses() -> None:
    assert owner_of(exchange()) == OWNER
    assert owner_of(exchange(principal=None, owner=OWNER)) == OWNER
    assert owner_of(exchange(principal=None)) is None


def _edge() -> None:
    parse_object(b"{")


def _auth() -> None:
    presented(())


def _shared_ground() -> None:
    BodyBuffers(1, 1).take(exchange(), 2)


@pytest.mark.parametrize(("raises", "stage"), [(_edge, "edge"), (_auth, "auth"), (_shared_ground, "")])
def test_the_stage_is_the_one_in_whose_code_it_was_raised(raises: object, stage: str) -> None:
    with pytest.raises(Refusal) as refused:
        raises()  # type: ignore[operator]
    assert stage_of(refused.value.__traceback__) == stage
