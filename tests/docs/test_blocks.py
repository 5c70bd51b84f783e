"""Every fenced block of every README has a checker, by its language; those that are not run are checked here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config.loader import load
from config.settings import Settings
from tests.docs import shell
from tests.docs.console import steps_of
from tests.docs.pages import PAGES, Block, blocks, blocks_of
from tests.docs.test_stages import stages_in_order, stages_of

BLOCKS = blocks()
LANGUAGES = frozenset({"console", "sh", "yaml", "text"})
"""`console` is run (test_console_blocks.py), the others are checked here."""


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_there_are_pages_and_blocks() -> None:
    assert len(PAGES) >= 7
    for language in LANGUAGES:
        assert of(language), language


def test_no_fence_escapes_the_listing() -> None:
    fences = sum(line.lstrip().startswith(("```", "~~~")) for text in PAGES.values() for line in text.splitlines())
    assert fences == 2 * len(BLOCKS)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_has_a_checker(block: Block) -> None:
    assert block.language in LANGUAGES, f"no checker takes a block of {block.language or 'no language'}"


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_console_blocks_are_commands_with_what_they_print(block: Block) -> None:
    steps = steps_of([block])
    assert steps
    for command, _ in steps:
        shell.check_names(command)


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_shell_blocks_name_what_exists(block: Block) -> None:
    assert shell.check(block.text) > 0


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_blocks_are_configurations(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "tollgate.yaml"
    file.write_text(block.text)
    load(file)
    assert yaml.safe_load(block.text).keys() <= Settings.model_fields.keys()


@pytest.mark.parametrize("block", of("text"), ids=str)
def test_pictures_show_the_stages_in_their_order(block: Block) -> None:
    assert stages_of(block.text) == stages_in_order()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tollgate keys turn KEY_ID", "no such command"),
        ("tollgate keys create", "Missing parameter"),
        ("tollgate usage --app app_x --per user", "No such option"),
        ("tollgate keys", "no such command"),
        ("make figures", "no target"),
        ("nonsense --now", "no checker knows"),
        ("TOLLGATE_GATE_URL=http://a tollgate serve", "no variable"),
        ("cp deploy/gate.service /etc/", "no file"),
        ("python -m tests.speed", "no such module"),
        ("docker compose exec tollgate tollgate apps make", "no such command"),
        ("livepeer -gateway -orchHint x", "no flag"),
        ("curl http://127.0.0.1:9090/admin", "no checker knows"),
        ('livepeer -authWebhookUrl "http://127.0.0.1:9090/hooks"', "no path"),
    ],
)
def test_a_wrong_command_is_found(text: str, reason: str) -> None:
    with pytest.raises(shell.WrongCommand, match=reason):
        shell.check(text)


def test_an_indented_block_is_a_block() -> None:
    [block] = blocks_of("page", "- item\n\n  ```sh\n  make run\n    more\n  ```\n")
    assert (block.line, block.language, block.text) == (3, "sh", "make run\n  more")
