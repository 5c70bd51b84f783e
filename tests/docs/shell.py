"""Check the commands of a shell block without running them: programs, subcommands, options, files, variables."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable, Iterator

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from config.environment import variables
from config.loader import COMMAND_VARIABLES, secret_variables
from config.settings import Settings
from proxy.cli.main import app
from tests.docs.pages import FOLDERS, ROOT

TOLLGATE = typer.main.get_command(app)
VARIABLES = variables(Settings).keys() | {f"{each}_FILE" for each in secret_variables()} | COMMAND_VARIABLES
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
LIVEPEER_FLAGS = frozenset(
    {
        *("gateway", "httpAddr", "httpIngest", "authWebhookUrl"),
        *("liveAIAuthWebhookUrl", "liveAIAuthApiKey"),
        *("liveAIHeartbeatURL", "liveAIHeartbeatHeaders", "liveAIHeartbeatInterval"),
        *("orchWebhookUrl", "remoteSigner", "remoteSignerWebhookUrl", "remoteSignerWebhookHeaders"),
    }
)
"""Flags of a stock gateway that blocks use (gateway contract sections 5 and 8)."""
WRAPPERS = frozenset({"docker", "systemd-run"})
"""Programs that may run `tollgate` for somebody."""
FOREIGN = frozenset({"chmod", "cp", "export", "install", "journalctl", "pip", "printf", "systemctl"})
"""Programs whose own arguments are not ours to check, but for files and variables."""

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_OPERATORS = frozenset({"&&", "||", "|", ";", "&"})
PRIVATE_PATHS = re.compile(r"http://127\.0\.0\.1:9090(/[\w/]*)")


class WrongCommand(Exception):
    """A command of a page that cannot work; the message says why."""


def check(text: str) -> int:
    """Check every command of a shell block and return their number. Raises `WrongCommand`."""
    found = 0
    for words in commands(text):
        check_words(words)
        found += 1
    check_names(text)
    return found


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command, assignments before it included."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words: list[str] = []
        for word in lexer:
            if word in _OPERATORS:
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


def check_words(words: list[str]) -> None:
    """Check one simple command. Raises `WrongCommand`."""
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if not words:
        return
    program, arguments = words[0].rpartition("/")[2], words[1:]
    _checker(program, words)(arguments)


def _checker(program: str, words: list[str]) -> Callable[[list[str]], None]:
    known: dict[str, Callable[[list[str]], None]] = {
        "tollgate": check_tollgate,
        "make": _check_make,
        "python": _check_python,
        "python3.11": _check_python,
        "livepeer": _check_livepeer,
        **dict.fromkeys(WRAPPERS, _check_wrapped),
        **dict.fromkeys(FOREIGN, lambda arguments: None),
    }
    if program not in known:
        raise WrongCommand(f"no checker knows the program {program!r} of {' '.join(words)!r}")
    return known[program]


def check_tollgate(arguments: list[str]) -> None:
    """Let the command itself parse the arguments, and run nothing. Raises `WrongCommand`."""
    rest = arguments[2:] if arguments[:1] in (["--config"], ["--url"]) else arguments
    command, name = TOLLGATE, "tollgate"
    while isinstance(command, TyperGroup):
        if not rest or rest[0] not in command.commands:
            raise WrongCommand(f"{name} has no such command: {shlex.join(rest)}")
        command, name, rest = command.commands[rest[0]], f"{name} {rest[0]}", rest[1:]
    try:
        command.make_context(name, list(rest))
    except TyperException as error:
        raise WrongCommand(f"{name} {shlex.join(rest)}: {error}") from None


def _check_make(arguments: list[str]) -> None:
    if unknown := [target for target in arguments if target not in MAKE_TARGETS]:
        raise WrongCommand(f"the Makefile has no target {', '.join(unknown)}")


def _check_python(arguments: list[str]) -> None:
    if arguments[:1] != ["-m"] or len(arguments) < 2 or importlib.util.find_spec(arguments[1]) is None:
        raise WrongCommand(f"python {shlex.join(arguments)}: there is no such module")


def _check_livepeer(arguments: list[str]) -> None:
    if unknown := [word for word in arguments if word.startswith("-") and word[1:] not in LIVEPEER_FLAGS]:
        raise WrongCommand(f"a gateway has no flag {', '.join(unknown)}")


def _check_wrapped(arguments: list[str]) -> None:
    """`docker build -t tollgate .` names an image; a command is what stands behind `exec NAME` or is a path."""
    for at, word in enumerate(arguments):
        if word.endswith("/bin/tollgate") or (word == "tollgate" and arguments[max(0, at - 2)] == "exec"):
            check_tollgate(arguments[at + 1 :])
            return


def check_names(text: str) -> None:
    """Check names of variables, files of the repository, paths of the private listener. Raises `WrongCommand`."""
    for name in re.findall(r"\bTOLLGATE_[A-Z_]*[A-Z]", text):
        if name not in VARIABLES:
            raise WrongCommand(f"there is no variable {name}")
    folders = "|".join(FOLDERS)
    for path in re.findall(rf"(?<![\w./-])((?:{folders})/[\w./-]*|requirements\.lock)", text):
        if not (ROOT / path).exists():
            raise WrongCommand(f"there is no file {path}")
    sources = [path.read_text() for path in (ROOT / "proxy").rglob("*.py")]
    for path in PRIVATE_PATHS.findall(text):
        spellings = (f'"{path}"', f'"{path.rpartition("/")[0]}/{{tier}}"')
        if not any(spelling in source for source in sources for spelling in spellings):
            raise WrongCommand(f"the private listener has no path {path}")
