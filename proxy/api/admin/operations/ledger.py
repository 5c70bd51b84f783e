"""Operations on credits, usage, statements and totals, on an open store."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

from middlewares.auth.records import RecordRef
from middlewares.ledger.credit import prepaid
from middlewares.ledger.credit.lots import PLAIN, LotTerms
from middlewares.response.redaction import mask
from proxy.api.admin.ledger_documents import (
    CreditChange,
    CreditGrant,
    DifferenceDocument,
    StatementDocument,
    UsageDocument,
    Verification,
    WalletChange,
    WalletDocument,
)
from proxy.api.admin.operations.acts import Acts, settle_target
from proxy.api.admin.operations.errors import ActRefused, invalid
from proxy.api.admin.operations.ports import CreditOperations, ReportOperations
from proxy.api.admin.operations.resources import Resources
from proxy.control.records import UnknownRecord
from proxy.reporting import usage_report
from proxy.reporting.dates import BadDate, Days, parse_period, redis_today, span
from proxy.reporting.statements import report as statement_report
from proxy.reporting.statements.account import read_statement
from proxy.reporting.stream import UnreadableEvent
from proxy.reporting.tables import CurrencyView
from proxy.reporting.totals import Dimension, read_usage
from proxy.reporting.verify.difference import concerns
from proxy.reporting.verify.verification import verify
from proxy.store.configured import claim_fingerprint


class DirectCredits(CreditOperations):
    """Prepaid credits, on an open store."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._resources = resources
        self._currency = CurrencyView.of(resources.settings.currency)
        self._acts = acts

    async def grant(self, client_id: str, user: str | None, change: CreditGrant) -> WalletChange:
        """Add credits to a wallet, once per app and reference."""
        return await self._change("credits.add", client_id, user, change, change.terms)

    async def debit(self, client_id: str, user: str | None, change: CreditChange) -> WalletChange:
        """Take credits out of a wallet, once per app and reference."""
        return await self._change("credits.debit", client_id, user, change)

    async def show(self, client_id: str, user: str | None) -> WalletDocument:
        """Return a wallet."""
        await self._check(client_id, user)
        found = await prepaid.balance(self._resources.store, self._resources.keys, client_id, user)
        return WalletDocument(**WalletDocument.members(client_id, user, found, self._currency))

    async def _change(
        self, action: str, client_id: str, user: str | None, change: CreditChange, terms: LotTerms = PLAIN
    ) -> WalletChange:
        store, keys = self._resources.store, self._resources.keys
        amount, texts = int(change.amount), {"reference": change.reference, "note": change.note}
        async with self._acts.act(action, "wallet", "", client_id) as act:
            await self._check(client_id, user)
            await claim_fingerprint(store, self._resources.settings)  # perhaps before the first server starts
            settle_target(act, user or client_id)
            act.detail |= {"amount": amount, "reference": change.reference, "note": change.note}
            if terms:
                act.detail |= {"promotional": terms.promotional, "expires_ms": terms.expires_ms}
            try:
                if action == "credits.add":
                    found = await prepaid.grant(store, keys, client_id, user, amount, **texts, terms=terms)
                else:
                    found = await prepaid.debit(store, keys, client_id, user, amount, **texts, force=change.force)
            except prepaid.InsufficientBalance as error:
                raise ActRefused("insufficient_balance", str(error)) from None
            except prepaid.ReferenceTaken as error:
                raise ActRefused("reference_taken", str(error)) from None
            except prepaid.TooManyLots as error:
                raise ActRefused("too_many_lots", str(error)) from None
            except ValueError as error:
                raise invalid(f"{error}") from None
            act.detail |= {"repeated": found.repeated}
        members = WalletDocument.members(client_id, user, found, self._currency)
        return WalletChange(**members, reference=change.reference, repeated=found.repeated)

    async def _check(self, client_id: str, user: str | None) -> None:
        """Raise `UnknownRecord` for an app or user that does not exist, `ActRefused` for a credential in its place."""
        if user is not None and mask(user) != user:
            raise invalid("that is a key or a token, and no user id")
        await self._resources.apps.require(client_id)
        ours = user is not None and user.startswith("usr_")  # any other is known only to an issuer of tokens
        if user is not None and ours and await self._resources.users.get(client_id, user) is None:
            raise UnknownRecord(RecordRef("user", user))


class DirectReports(ReportOperations):
    """Usage, statements and verification, on an open store."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._sources = resources.sources
        self._currency = resources.settings.currency

    async def usage(
        self, client_id: str, first: str | None, last: str | None, group_by: list[Dimension]
    ) -> UsageDocument:
        """Return the usage of an app, by default in the current month."""
        days = await self._span(first, last)
        await self._resources.apps.require(client_id)
        found = await read_usage(self._sources, client_id, days, group_by)
        return UsageDocument.model_validate(usage_report.document(client_id, days, self._currency, found))

    async def statement(self, client_id: str, period: str) -> StatementDocument:
        """Return the account of an app for a month or a day."""
        try:
            days = parse_period(period)
        except BadDate as error:
            raise invalid(str(error)) from None
        app = await self._resources.apps.require(client_id)
        plans = self._resources.settings.all_plans()
        try:
            found = await read_statement(self._sources, client_id, days, plans)
        except UnreadableEvent as error:
            raise ActRefused("unreadable_event", f"no statement: {error}") from None
        document = statement_report.document(client_id, app.name, self._currency, found)
        return StatementDocument.model_validate(document)

    async def verify(self, client_id: str | None) -> Verification:
        """Compute all totals from events and compare; report the differences of one app, or all."""
        if client_id is not None:
            await self._resources.apps.require(client_id)
        try:
            differences, counts = await verify(self._sources, self._resources.settings.all_plans())
        except UnreadableEvent as error:
            raise ActRefused("unreadable_event", str(error)) from None
        if client_id is not None:
            tag = self._sources.keys.tag(client_id)
            differences = [each for each in differences if concerns(each.where, client_id, tag)]
        found = [
            DifferenceDocument(what=each.what, where=each.where, expected=str(each.expected), found=str(each.found))
            for each in differences
        ]
        return Verification(differences=found, **asdict(counts))

    async def _span(self, first: str | None, last: str | None) -> Days:
        try:
            span(first, last, date.min)  # what is wrong with them is said without Redis
            return span(first, last, await redis_today(self._resources.store.redis))
        except BadDate as error:
            raise invalid(str(error)) from None
