"""Rules for request targets: origin-form only, a path with one reading, no reserved query parameters. Pure."""

import re

from middlewares.edge.request import closing_refusal

RESERVED_PARAMETERS = frozenset({"key", "orchestrator", "pipeline", "rtmpoutput", "streamid", "token", "tollgate"})
"""With these a client chooses orchestrators, outputs and other tenants' streams (gateway contract section 3),
or shows a gateway a credential; compared without case, `_` and `-`."""

_SEPARATORS = "(?:[-_]|%2D|%5F)*+"


def _in_any_disguise(name: str) -> str:
    """Return a pattern of a parameter's name whose characters may be escaped, with separators anywhere."""
    return "".join(f"(?:{letter}|%{ord(letter):X}|%{ord(letter.upper()):X}){_SEPARATORS}" for letter in name)


_RESERVED = re.compile(
    f"(?:^|;){_SEPARATORS}(?:{'|'.join(map(_in_any_disguise, sorted(RESERVED_PARAMETERS)))})(?:[=;]|\\Z)".encode(),
    re.IGNORECASE,
)
"""Finds a reserved parameter, also for older readers, which take `;` for a separator. One search for each parameter:
there may be thousands of them, and the caller is not known yet."""

_UNCLEAR_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|25|2[EeFf]|5[Cc]|7[Ff])")


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Return path and query of an origin-form target (RFC 9112 section 3.2.1). Raises `Refusal` for other forms."""
    if not target.startswith(b"/"):
        raise closing_refusal("The request target must be a path that starts with `/`.")
    path, _, query = target.partition(b"?")
    if b"#" in target or not target.isascii():
        raise closing_refusal("The request target holds a character that must be percent-encoded.")
    return path, query


def check_path(path: bytes) -> None:
    """Raise `Refusal` (400) for a path that another reader might normalise into a different one.

    That is: empty and dot segments, backslashes, broken escapes, and escapes of `.`, `/`, `\\`, `%` and control
    characters. The gateway decodes once and BYOC workers may decode again.
    """
    if b"//" in path or b"\\" in path or (b"/." in path and not {b".", b".."}.isdisjoint(path.split(b"/"))):
        raise closing_refusal("The path holds an empty or dot segment or a backslash; send it in its plain form.")
    if b"%" in path and _UNCLEAR_ESCAPE.search(path):
        raise closing_refusal("The path holds a broken or unsafe percent-escape; send it in its plain form.")


def check_query(query: bytes) -> None:
    """Raise `Refusal` (400) for a query with a NUL, which no parameter of the control surfaces may hold.

    PostgreSQL takes no text with one, and would be taken for a database that fails.
    """
    if b"%00" in query:
        raise closing_refusal("The query holds the character NUL; send it without.")


def drop_reserved_parameters(query: bytes) -> bytes:
    """Return `query` without its reserved parameters; every other byte stays, in order."""
    parameters = query.split(b"&")
    kept = [parameter for parameter in parameters if not _RESERVED.search(parameter)]
    return query if len(kept) == len(parameters) else b"&".join(kept)
