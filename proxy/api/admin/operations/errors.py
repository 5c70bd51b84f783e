"""Acts that are refused for a reason that an operator can do something about."""

from __future__ import annotations

from typing import Literal


class ActRefused(Exception):
    """Nothing was done. `code` is that of the problem document; the text says what was wrong."""

    def __init__(self, code: str, message: str, status: Literal[400, 404, 409] = 409) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    @property
    def audit_code(self) -> str:
        """Return the code that the audit log has for it."""
        return self.code


def invalid(message: str) -> ActRefused:
    """Return the refusal of a value that cannot be used."""
    return ActRefused("invalid_parameter", message, 400)
