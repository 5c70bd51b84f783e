"""Markdown as the generated parts of the documentation need it."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def fill(page: str, part: str, text: str) -> str:
    """Return `page` with `text` between the markers of `part`. Raises `ValueError` unless it has both markers once."""
    begin, end = f"<!-- {part}:begin -->", f"<!-- {part}:end -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page needs exactly one {begin} and one {end}")
    return page[: page.index(begin) + len(begin)] + f"\n{text}\n" + page[page.index(end) :]
