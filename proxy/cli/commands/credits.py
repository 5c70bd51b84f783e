"""`tollgate credits`: grant, debit and show the wallets of apps and users that pay in advance."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from config.loader import load
from config.runtime import Currency
from middlewares.auth.records import RecordRef
from middlewares.ledger.credit import prepaid
from middlewares.ledger.credit.prepaid import Balance
from middlewares.ledger.redis_keys import RedisKeys
from middlewares.store import ScriptRunner
from proxy.cli.inputs import AppOption, client_id, free_text
from proxy.cli.output import Exit, Json, bad_input, fail, print_one
from proxy.cli.session import CommandSession, run
from proxy.reporting.tables import decimal

app = typer.Typer(no_args_is_help=True, help="Prepaid credits of apps and their users.")

_AMOUNT = re.compile(r"[0-9]{1,40}")
_USER = re.compile(r"[A-Za-z0-9_-]{1,128}")

UserOption = Annotated[
    str | None, typer.Option(metavar="USER_ID", help="Use the wallet of this user, not that of the app.")
]
AmountArgument = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="Amount in the currency's atomic unit: a whole number above 0.")
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(help="Your name for this change; with the same name it counts once, however often it is sent."),
]
NoteOption = Annotated[str, typer.Option(help="A remark that is kept with the change.")]


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a wallet, as the audit log has it."""

    action: str
    amount: int
    reference: str
    note: str


@app.command()
def grant(
    *,
    app_id: AppOption,
    user: UserOption = None,
    amount: AmountArgument,
    reference: ReferenceOption = None,
    note: NoteOption = "",
    as_json: Json = False,
) -> None:
    """Add credits to a wallet. A user with a wallet of its own pays only from that."""
    atomic, name, remark = _amount(amount), _reference(reference), _note(note)
    _use_wallet(
        app_id,
        user,
        lambda store, keys: prepaid.grant(store, keys, app_id, user, atomic, reference=name, note=remark),
        _Change("credits.add", atomic, name, remark),
        as_json=as_json,
    )


@app.command()
def debit(
    *,
    app_id: AppOption,
    user: UserOption = None,
    amount: AmountArgument,
    reference: ReferenceOption = None,
    note: NoteOption = "",
    force: Annotated[bool, typer.Option("--force", help="Allow a balance below zero.")] = False,
    as_json: Json = False,
) -> None:
    """Take credits out of a wallet, to correct a grant."""
    atomic, name, remark = _amount(amount), _reference(reference), _note(note)
    _use_wallet(
        app_id,
        user,
        lambda store, keys: prepaid.debit(store, keys, app_id, user, atomic, reference=name, note=remark, force=force),
        _Change("credits.debit", atomic, name, remark),
        as_json=as_json,
    )


@app.command()
def show(app_id: AppOption, user: UserOption = None, as_json: Json = False) -> None:
    """Show a wallet."""
    _use_wallet(app_id, user, lambda store, keys: prepaid.balance(store, keys, app_id, user), as_json=as_json)


def _use_wallet(
    app_id: str,
    user: str | None,
    action: Callable[[ScriptRunner, RedisKeys], Awaitable[Balance]],
    change: _Change | None = None,
    *,
    as_json: bool,
) -> None:
    """Check that app and user exist, apply `action`, and print the balance."""
    client_id(app_id)
    if user is not None and not _USER.fullmatch(user):
        bad_input("that is no user id; one has 1 to 128 letters, digits, dashes or underscores")
    settings = load()

    async def work(session: CommandSession) -> Balance:
        from proxy.control.records import UnknownRecord  # noqa: PLC0415
        from proxy.store.configured import claim_fingerprint, redis_keys  # noqa: PLC0415

        await session.apps.require(app_id)
        ours = user is not None and user.startswith("usr_")  # any other is known only to an issuer of tokens
        if user is not None and ours and await session.users.get(app_id, user) is None:
            raise UnknownRecord(RecordRef("user", user))
        if change is None:
            return await action(session.store, redis_keys(settings))
        await claim_fingerprint(
            session.store, settings
        )  # money is kept under a hash tag, perhaps before the first start
        async with session.act(change.action, "wallet", user or app_id, app_id) as act:
            act.detail |= {"amount": change.amount, "reference": change.reference, "note": change.note}
            found = await action(session.store, redis_keys(settings))
            act.detail["repeated"] = found.repeated
        return found

    try:
        found = run(work, settings)
    except (prepaid.InsufficientBalance, prepaid.ReferenceTaken) as error:
        fail(str(error), Exit.FAILED)
    changed = {} if change is None else {"reference": change.reference, "repeated": found.repeated}
    print_one({"app": app_id, "user": user, **_amounts(settings.currency, found, as_json=as_json), **changed}, as_json)


def _amounts(currency: Currency, found: Balance, *, as_json: bool) -> dict[str, Any]:
    """Return amounts: in JSON decimal strings of atomic units, else in the currency."""
    amounts = {name: getattr(found, name) for name in ("available", "granted", "spent", "held")}
    if as_json:
        return {name: str(amount) for name, amount in amounts.items()} | {"currency": currency.model_dump()}
    return {name: f"{decimal(amount, currency.decimals)} {currency.code}" for name, amount in amounts.items()}


def _amount(text: str) -> int:
    if not _AMOUNT.fullmatch(text) or int(text) == 0:
        bad_input("AMOUNT must be a whole number of atomic units above 0, in digits only")
    return int(text)


def _reference(text: str | None) -> str:
    if text is not None:
        return free_text("--reference", text, prepaid.LONGEST_TEXT)
    from ulid import ULID  # noqa: PLC0415

    return str(ULID())


def _note(text: str) -> str:
    return text and free_text("--note", text, prepaid.LONGEST_TEXT)
