"""Whatever cites the gateway contract cites a section that proxy/mock_gateway/CONTRACT.md has."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields

import pytest

from proxy.mock_gateway.behaviour import Behaviour
from proxy.mock_gateway.gateway import Options
from tests.docs.pages import ROOT

CONTRACT = (ROOT / "proxy/mock_gateway/CONTRACT.md").read_text()
FOLDERS = ("config", "deploy", "middlewares", "proxy", "tests")
SUFFIXES = {".py", ".md", ".lua", ".go", ".yaml", ".yml", ".toml", ".conf", ".sh"}

_NUMBER = r"\d+(?:\.\d+)?"
_NUMBERS = rf"{_NUMBER}(?:(?:, | and |, and | to |-){_NUMBER})*"
_NAME = r"(?:\bcontract(?:'s)?|\bCONTRACT\.md)"
_NUMBERED = re.compile(rf"{_NAME} \(?sections? ({_NUMBERS})")
_TITLED = re.compile(rf"{_NAME}, (?:\"([^\"]+)\"|(introduction)\b)", re.IGNORECASE)
_SHORT = re.compile(rf"(?:\(|, |; | and | also )sections? ({_NUMBERS})")
"""Within a file that names the contract elsewhere; other documents' sections stand behind their names."""
_LINE_END = re.compile(r"\n[ \t]*(?:(?:#|//|--)[ \t]*)?")


def cited(text: str) -> set[str]:
    """Return the section numbers, and titles in lower case, of the contract that a file cites."""
    flat = _LINE_END.sub(" ", text)
    found = {title.lower() for match in _TITLED.findall(flat) for title in match if title}
    lists = _NUMBERED.findall(flat)
    if found or lists:
        lists += _SHORT.findall(flat)
    return found.union(*(re.findall(_NUMBER, numbers) for numbers in lists))


def headings() -> list[str]:
    """Return number or else title in lower case of every heading of the contract, in its order."""
    titles = re.findall(r"^##+ (.+)$", CONTRACT, re.MULTILINE)
    numbered = re.compile(rf"({_NUMBER})\.? ")
    return [match[1] if (match := numbered.match(title)) else title.lower() for title in titles]


def sources() -> Iterator[tuple[str, str]]:
    """Yield path and text of every file that may cite the contract."""
    for path in [ROOT / "README.md", *(file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*")))]:
        own = path.name in {"CONTRACT.md", "test_contract.py"}
        if path.suffix in SUFFIXES and path.is_file() and not own:
            yield str(path.relative_to(ROOT)), path.read_text()


def test_every_cited_section_exists() -> None:
    citing: dict[str, list[str]] = defaultdict(list)
    files = 0
    for path, text in sources():
        files += 1
        for section in cited(text):
            citing[section].append(path)
    assert files > 300, "the listing of the repository is not what it was"
    assert {"1.0", "1.2", "1.7", "3", "5.3", "9.6", "activation trap"} <= citing.keys()
    missing = {section: paths for section, paths in citing.items() if section not in headings()}
    assert not missing


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("", set()),
        ("another document (section 9.9)", set()),
        ("(gateway contract section 1.7)", {"1.7"}),
        ("of the gateway contract's section 6.1.", {"6.1"}),
        ("the gateway contract (sections 1.1 to 1.7)", {"1.1", "1.7"}),
        ("gateway\n# contract sections 1.4\n# and 1.5 say", {"1.4", "1.5"}),
        ("gateway contract sections 1.1-1.2, 5 and 9.6", {"1.1", "1.2", "5", "9.6"}),
        ("CONTRACT.md section 1.4, WHIP and WHEP also section 2", {"1.4", "2"}),
        ("(CONTRACT.md section 1.0). Then: (section 99)", {"1.0", "99"}),
        ("CONTRACT.md section 1.0 (RFC 9110 section 7.6)", {"1.0"}),
        (
            '(gateway contract, "Activation trap") and (gateway contract,\n    introduction)',
            {"activation trap", "introduction"},
        ),
    ],
)
def test_what_is_a_citation(text: str, sections: set[str]) -> None:
    assert cited(text) == sections


def test_sections_are_unique_and_in_order() -> None:
    found = headings()
    assert len(found) == len(set(found))
    numbers = [tuple(map(int, name.split("."))) for name in found if re.fullmatch(_NUMBER, name)]
    assert numbers == sorted(numbers)
    assert {number[0] for number in numbers} == set(range(1, 11))
    assert all(number[:1] in numbers for number in numbers)


def test_options_and_switches_of_the_mock_gateway_are_its_own() -> None:
    table = CONTRACT.partition("\n## 10.")[2]
    cells = [row.split("|")[-2] for row in table.splitlines() if row.startswith("|")]
    named: dict[str, set[str]] = {"option": set(), "switch": set()}
    for cell in cells:
        for kind, names in re.findall(r"(option|switch)(?:e?s)? ((?:`[a-z_-]+`(?:, )?)+)", cell):
            named[kind].update(re.findall(r"`([^`]+)`", names))
    assert {"capacity", "byoc_status_linger"} <= named["option"]
    assert {"runner-error", "silent"} <= named["switch"]
    assert named["option"] - {"crash"} <= {field.name for field in fields(Options)}
    switches = {field.name.replace("_", "-") for field in fields(Behaviour)}
    assert named["switch"] <= switches
