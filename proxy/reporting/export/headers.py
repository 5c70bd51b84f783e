"""Headers that an operator gives for the receiver, credentials among them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
_VALUE = re.compile(r"[\t\x20-\x7e]*")


class BadHeader(ValueError):
    """Text that is no header. The message does not contain its value, which may be a secret."""


def parse(line: str) -> tuple[str, str]:
    """Return name and value of a header written as `Name: value` (RFC 9110 section 5). Raises `BadHeader`."""
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise BadHeader("a header must look like `Name: value`")
    if not _VALUE.fullmatch(value):
        raise BadHeader(f"the value of header {name} has characters that no header may have")
    return name, value.strip()


class ReceiverHeaders:
    """Headers of the command line and of a file, one a line, which is read each time; and a bearer token."""

    def __init__(self, lines: Iterable[str], file: Path | None, token: str | None = None) -> None:
        """Parse the lines and read the file. Raises `BadHeader`, also for credentials among the lines."""
        self._fixed = dict(map(parse, lines))
        for name in self._fixed:
            if name.lower() in _CREDENTIALS:
                raise BadHeader(
                    f"every user of this machine can see a command line: give {name} in --header-file, or a token in "
                    "TOLLGATE_EXPORT__TOKEN_FILE"
                )
        if token is not None:
            self._fixed |= dict([parse(f"Authorization: Bearer {token}")])
        self._file = file
        self.read()

    def read(self) -> dict[str, str]:
        """Return the current headers. Raises `BadHeader`, also if the file cannot be read."""
        if self._file is None:
            return self._fixed
        try:
            lines = self._file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError as error:
            raise BadHeader(f"{self._file}: {error.strerror}") from None
        return self._fixed | dict(parse(line) for line in lines if line.strip())
