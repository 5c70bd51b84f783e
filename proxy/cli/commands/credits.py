"""`tollgate credits`: grant, debit and show the wallets of apps and users that pay in advance."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from middlewares.ledger.credit.prepaid import LONGEST_TEXT
from proxy.api.admin.ledger_documents import (
    CreditChange,
    CreditGrant,
    LotDocument,
    WalletChange,
    WalletDocument,
    check_ledger_moment,
)
from proxy.cli.inputs import AppOption, client_id, free_text, moment
from proxy.cli.output import Json, bad_input, print_one, print_table
from proxy.cli.session import operate
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


@app.command()
def grant(
    *,
    app_id: AppOption,
    user: UserOption = None,
    amount: AmountArgument,
    promotional: Annotated[bool, typer.Option("--promotional", help="Spend them before all that are not.")] = False,
    expires: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="When what is left of them is gone, in ISO 8601. Earlier ones go first."),
    ] = None,
    reference: ReferenceOption = None,
    note: NoteOption = "",
    as_json: Json = False,
) -> None:
    """Add credits to a wallet. A user with a wallet of its own pays only from that."""
    at = None
    if expires:
        ends = moment("--expires", expires)
        try:
            check_ledger_moment(ends)
        except ValueError as error:
            bad_input(f"--expires {error}")
        at = datetime.fromtimestamp(ends / 1_000, UTC)
    plain = _change(amount, reference, note).model_dump()
    owner, change = _owner(app_id, user), CreditGrant(**plain, promotional=promotional, expires=at)
    _print(operate(lambda operations: operations.credits.grant(owner, user, change)), as_json=as_json)


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
    owner, change = _owner(app_id, user), _change(amount, reference, note, force=force)
    _print(operate(lambda operations: operations.credits.debit(owner, user, change)), as_json=as_json)


@app.command()
def show(app_id: AppOption, user: UserOption = None, as_json: Json = False) -> None:
    """Show a wallet, and its credits that are promotional or expire, in the order of spending."""
    owner = _owner(app_id, user)
    _print(operate(lambda operations: operations.credits.show(owner, user)), as_json=as_json)


def _owner(app_id: str, user: str | None) -> str:
    """Return the client id, if it and the user id look like such."""
    if user is not None and not _USER.fullmatch(user):
        bad_input("that is no user id; one has 1 to 128 letters, digits, dashes or underscores")
    return client_id(app_id)


def _change(amount: str, reference: str | None, note: str, *, force: bool = False) -> CreditChange:
    return CreditChange(amount=_amount(amount), reference=_reference(reference), note=_note(note), force=force)


def _print(found: WalletDocument, *, as_json: bool) -> None:
    """Print a wallet: in JSON with decimal strings of atomic units, else with amounts in the currency."""
    change = found.model_dump(include={"reference", "repeated"}) if isinstance(found, WalletChange) else {}
    amounts: dict[str, Any] = found.model_dump(include={"available", "granted", "spent", "held"})
    code, decimals = found.currency.code, found.currency.decimals
    if as_json:
        amounts["currency"] = found.currency.model_dump()
        if "reference" not in change:
            amounts["lots"] = [lot.model_dump(mode="json") for lot in found.lots]
    else:
        amounts = {name: f"{decimal(int(amount), decimals)} {code}" for name, amount in amounts.items()}
    print_one({"app": found.app, "user": found.user, **amounts, **change}, as_json)
    if found.lots and not as_json:
        rows = [
            [lot.id, "yes" if lot.promotional else "no", lot.expires or "never", *_in_currency(lot, decimals)]
            for lot in found.lots
        ]
        print_table(["lot", "promotional", "expires", f"left {code}", f"held {code}"], rows)


def _in_currency(lot: LotDocument, decimals: int) -> tuple[str, str]:
    return decimal(int(lot.left), decimals), decimal(int(lot.held), decimals)


def _amount(text: str) -> str:
    if not _AMOUNT.fullmatch(text) or int(text) == 0:
        bad_input("AMOUNT must be a whole number of atomic units above 0, in digits only")
    return str(int(text))


def _reference(text: str | None) -> str:
    if text is not None:
        return free_text("--reference", text, LONGEST_TEXT)
    from ulid import ULID  # noqa: PLC0415

    return str(ULID())


def _note(text: str) -> str:
    return text and free_text("--note", text, LONGEST_TEXT)
