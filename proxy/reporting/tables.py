"""Formatting of amounts and tables, and the currency as documents have it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Self

from pydantic import BaseModel

from config.runtime import Currency

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_WHOLE = re.compile(r"[0-9]+")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of what a spreadsheet may compute: some take NUL for nothing, and wide forms of signs for the signs."""

Amount = str
"""Decimal string of atomic units."""


class CurrencyView(BaseModel):
    """The currency of all amounts: one unit is 10 to the power of `decimals` atomic units."""

    code: str
    decimals: int

    @classmethod
    def of(cls, currency: Currency) -> Self:
        """Return the view of the deployment's currency."""
        return cls(code=currency.code, decimals=currency.decimals)


def decimal(amount: int, decimals: int) -> str:
    """Return atomic units as a decimal number of the currency, exact and without trailing zeros."""
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0") if rest else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def grouped(number: int | str) -> str:
    """Return a number for people, its thousands apart; digits behind a point stay together. Files have none of it."""
    return _WHOLE.sub(lambda found: f"{int(found[0]):,}", str(number), count=1)


def readable_amount(amount: int, currency: Currency) -> str:
    """Return atomic units as people read them: exact, with the code of the currency."""
    return f"{grouped(decimal(amount, currency.decimals))} {currency.code}"


def printable(text: str) -> str:
    """Return a name that a client chose, without characters that control a terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """Return a table as CSV (RFC 4180). Names that a client chose cannot become formulas of a spreadsheet."""
    return csv_rows([header, *rows])


def csv_rows(rows: Iterable[Sequence[str | int]]) -> str:
    """Return rows as CSV, as `csv_text` does."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([_cell(str(value)) for value in row] for row in rows)
    return out.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
