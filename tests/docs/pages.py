"""The pages that the tests of this folder read: every README of the repository."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = ("config", "deploy", "middlewares", "proxy", "tests")
PAGES: dict[str, str] = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (
        ROOT / "README.md",
        *(page for folder in FOLDERS for page in sorted((ROOT / folder).rglob("README.md"))),
    )
}
"""Text by path below the root of the repository."""

_FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_GENERATED = re.compile(r"<!-- (\w+):begin -->.*?<!-- \1:end -->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    """Return every fenced block of every page, in order."""
    return [block for page, text in PAGES.items() for block in blocks_of(page, text)]


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Yield the fenced blocks of one page, without their indentation."""
    for match in _FENCE.finditer(text):
        indent, language, body = match.groups()
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        yield Block(page, text.count("\n", 0, match.start()) + 1, language, "\n".join(lines))


def without_blocks(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text)


def prose(text: str) -> str:
    """Return what people wrote of a page: neither fenced blocks nor generated parts."""
    return _GENERATED.sub("", without_blocks(text))


def sentences(text: str) -> list[str]:
    """Return the sentences of the prose of a page, in one line each; the cells of a table count as sentences."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*[-|#])", prose(text)):
        plain = " ".join(paragraph.split())
        found += [each.strip() for each in re.split(r"(?<=[.!?:;])\s+|\s\|\s", plain) if each.strip()]
    return found


def section(page: str, title: str) -> str:
    """Return the text of a section of a page, up to the next one of the same level."""
    [text] = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGES[page], re.MULTILINE | re.DOTALL)
    return str(text)


def first_cells(text: str) -> list[str]:
    """Return what stands in backticks in the first column of the tables in `text`."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def rows(text: str) -> list[list[str]]:
    """Return the cells of the rows of the tables in `text`, headings and rulers left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rulers = [at for at, line in enumerate(lines) if set(line) <= set("|-: ")]
    skipped = {*rulers, *(at - 1 for at in rulers)}
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for at, line in enumerate(lines) if at not in skipped]
    return [[cell.strip() for cell in row] for row in cells]
