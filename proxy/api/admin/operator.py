"""Who calls the admin API, and with which role: one dependency that every one of its routes has."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from middlewares.address_limit import AddressLimit
from middlewares.auth.middleware import presented
from middlewares.auth.records import OperatorRecord, Role
from middlewares.exchange import Exchange, Refusal
from proxy.api.audit.route import Handler
from proxy.control.audit.line import Actor, ActorKind, ActOutcome, AuditTarget, Result
from proxy.control.audit.log import AuditLog
from proxy.control.operators.operators import Operators

_CODE = "insufficient_role"
_CHALLENGE = b'Bearer realm="tollgate-admin"'


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator that calls, from an address."""

    record: OperatorRecord
    address: str

    @property
    def actor(self) -> Actor:
        """Return it as the audit log has it."""
        return Actor(ActorKind.OPERATOR, self.record.name, key=self.record.operator_id, address=self.address)


def operator_failure_limit(per_minute: int) -> AddressLimit:
    """Return the limit of refused operator keys by client address, apart from those of apps."""
    return AddressLimit(
        "operator-key-failures",
        per_minute,
        counted="refused operator keys",
        unit="failures",
        advice=", with a valid operator key",
    )


class OperatorGate:
    """Finds the operator of a request. A credential of an app, of a user, or a token is none."""

    def __init__(self, operators: Operators, audit: AuditLog, failures_per_minute: int) -> None:
        self._operators = operators
        self.audit = audit
        self._failures = operator_failure_limit(failures_per_minute)

    async def identify(self, request: Request) -> Operator:
        """Return the operator. Raises `Refusal`: 401, and 429 past the limit of failures."""
        exchange: Exchange = request.scope["tollgate.exchange"]
        try:
            credential = presented(request.headers.raw)
        except Refusal as refusal:
            if refusal.code != "missing_credentials":
                self._failures.count(exchange.client_address)
                raise
            detail = "Send an operator key as `Authorization: Bearer <key>`; `tollgate operators create` makes one."
            raise _unauthorized("missing_credentials", detail) from None
        record = await self._operators.authenticate(credential)
        if record is None:
            self._failures.count(exchange.client_address)
            raise _unauthorized("invalid_credentials", "That is no operator key, or it is unknown, wrong or revoked.")
        return Operator(record, exchange.client_address)


class OperatorWith:
    """The dependency: the operator, whose role covers `role`."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request, response: Response) -> Operator:
        gate: OperatorGate = request.app.state.gate
        operator = await gate.identify(request)
        if not operator.record.role.covers(self.role):
            await _record_refusal(request, operator, _CODE)
            detail = f"The role {operator.record.role} may not do this; it takes {self.role}."
            raise Refusal(403, _CODE, detail)
        response.headers["cache-control"] = "no-store"
        request.state.operator = operator
        return operator


class AdminRoute(APIRoute):
    """A route whose refusal of what an operator sent is a line of the audit log, if it would have changed something.

    All other lines are those of the operations.
    """

    def get_route_handler(self) -> Handler:
        """Return the handler, which notices what cannot be used."""
        handle = super().get_route_handler()

        async def noticing(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                operator: Operator | None = getattr(request.state, "operator", None)
                if operator is not None:
                    await _record_refusal(request, operator, "invalid_parameter")
                raise

        return noticing


async def _record_refusal(request: Request, operator: Operator, code: str) -> None:
    """Write that an operator was refused by a route that changes something, before any operation began."""
    if request.method != "GET":
        gate: OperatorGate = request.app.state.gate
        target, result = AuditTarget("route", request.scope["route"].name), Result(ActOutcome.REFUSED, code)
        await gate.audit.record(operator.actor, "route.call", target, result)


def _unauthorized(code: str, detail: str) -> Refusal:
    return Refusal(401, code, detail, headers=[(b"www-authenticate", _CHALLENGE)])
