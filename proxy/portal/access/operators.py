"""Operators by the session of their browser."""

from __future__ import annotations

from dataclasses import dataclass

from middlewares.auth.records import OperatorRecord, Role
from middlewares.exchange import Refusal
from proxy.control.operators.operators import Operators
from proxy.control.operators.records import OperatorSessionRecord
from proxy.control.operators.sessions import OperatorSessions
from proxy.portal.access.routes import SignInNeeded

_PREFIX = "tgp_"


class OperatorElsewhere(Refusal):
    """An operator is at a page for members."""

    def __init__(self) -> None:
        super().__init__(403, "operator_session", "This page is for members of apps; an operator has pages of its own.")


@dataclass(frozen=True, slots=True)
class SignedInOperator:
    """An operator that is active, and the session of its browser."""

    operator: OperatorRecord
    session: OperatorSessionRecord

    def require(self, role: Role) -> None:
        """Raise `Refusal` (403) unless the operator's role covers this one, as the admin API does."""
        if not self.operator.role.covers(role):
            detail = f"The role {self.operator.role} may not do this; it takes {role}."
            raise Refusal(403, "insufficient_role", detail)


@dataclass(frozen=True, slots=True)
class OperatorCredentials:
    """Finds operators, each time anew: one that is revoked is out with its next request, at every worker."""

    operators: Operators
    sessions: OperatorSessions

    async def judge(self, token: str, *, is_use: bool = True) -> SignedInOperator | None:
        """Return the operator; None if the token is of no operator's session. Raises `SignInNeeded` for an ended one.

        It is a use of the session, which keeps it from ending idle, unless `is_use` is False. It raises what the client
        of Redis does, too.
        """
        if not token.startswith(_PREFIX):
            return None
        session = await self.sessions.find(token.encode(), is_use=is_use)
        operator = None if session is None else await self.operators.get(session.operator)
        if session is None or operator is None or operator.status != "active":
            raise SignInNeeded
        return SignedInOperator(operator, session)
