"""A client names its models and users; a spreadsheet must not compute with them."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.reporting.tables import csv_text, decimal


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1-1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\0=1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20A1",
        '=HYPERLINK("http://x")',
    ],
)
def test_a_name_that_would_be_a_formula_becomes_text(name: str) -> None:
    [[cell]] = list(csv.reader(io.StringIO(csv_text(["model"], [[name]]), newline="")))[1:]
    assert cell == "'" + name


@pytest.mark.parametrize("value", ["-5", "12", "-0.5", "m/one", "a=b", 0, -(10**27)])
def test_numbers_and_harmless_names_stay_as_they_are(value: str | int) -> None:
    [[cell]] = list(csv.reader(io.StringIO(csv_text(["x"], [[value]]), newline="")))[1:]
    assert cell == str(value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2))
def test_cells_survive_commas_quotes_and_line_ends(names: list[str]) -> None:
    [row] = list(csv.reader(io.StringIO(csv_text(["a", "b"], [names]), newline="")))[1:]
    assert [cell.removeprefix("'") for cell in row] == [name.removeprefix("'") for name in names]


@given(st.integers(-(10**30), 10**30), st.integers(0, 18))
def test_decimals_are_exact(amount: int, decimals: int) -> None:
    text = decimal(amount, decimals)
    whole, _, fraction = text.partition(".")
    assert not fraction.endswith("0")
    assert int(whole + fraction.ljust(decimals, "0")) == amount


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [(0, 18, "0"), (1, 18, "0.000000000000000001"), (-(10**18), 18, "-1"), (1_500_000, 6, "1.5"), (7, 0, "7")],
)
def test_decimals(amount: int, decimals: int, text: str) -> None:
    assert decimal(amount, decimals) == text
