"""Admits the sessions that a remote signer pays for: counted once, and a place of the concurrency while they last.

A session here has no price and no event: what it costs is in the signer's own feed (`CONTRACT.md` section 6.3). Its
hold is silent, so that one which is not asked about any more just expires.
"""

from __future__ import annotations

from config.workloads import Workload
from middlewares.ledger.admission.policy import Policy
from middlewares.ledger.model import Denied, Hold, leases_of
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.ledger.scripts import SIGNER
from middlewares.ledger.settlement.event import ENCODER
from middlewares.store import Call, ScriptRunner

SECONDS = 2.0
"""Longest time of one call; a signer waits five seconds for the whole response (`CONTRACT.md` section 5.5)."""
SLACK_MS = 10_000
"""How much longer than its permission a session keeps its place: until the next payment of a living one."""
_UNKNOWN = -2
"""How a reply of `lua/signer.lua` begins for a session that has to be admitted anew."""


class SignerSessions:
    """The sessions of all signers and apps."""

    def __init__(self, runner: ScriptRunner, keys: RedisKeys) -> None:
        self._runner = runner
        self._keys = keys

    async def admit(
        self, session: str, policy: Policy, workload: Workload, model: str, *, milliseconds: int
    ) -> Denied | None:
        """Admit a session, or let it go on, for so many milliseconds; return the limit that refuses it.

        Its beginning counts as a request in the windows of the plan. At all times it holds a place of the concurrency,
        and caps and balances have to have something left. Raises `StoreError`.
        """
        entering = policy.before_body
        going_on = entering.without("w")
        reply = await self._run(session, going_on, workload, model, milliseconds, known=True)
        if reply[0] == _UNKNOWN:
            going_on = entering
            reply = await self._run(session, entering, workload, model, milliseconds, known=False)
        return None if reply[0] == 1 else going_on.denied(reply)

    async def _run(
        self, session: str, policy: Policy, workload: Workload, model: str, milliseconds: int, *, known: bool
    ) -> list[int]:
        rules, entries = policy.reserve({}, 0, ())
        hold = Hold(
            request_id=f"signer-{policy.app}-{session}",
            app=policy.app,
            user=policy.user,
            key=policy.key,
            plan=policy.plan_id,
            workload=workload,
            model=model,
            started_ms=0,
            entries=entries,
            entry=True,
        )
        leases = leases_of(hold)
        holds = self._keys.shared(self._keys.tag(policy.app)).holds
        arguments = (int(known), len(leases), hold.request_id, milliseconds + SLACK_MS, ENCODER.encode(hold), 0, *rules)
        call = Call(SIGNER, (holds, *leases, *policy.admit_keys), arguments)
        reply: list[int] = await self._runner.run(call, deadline=SECONDS)
        return reply
