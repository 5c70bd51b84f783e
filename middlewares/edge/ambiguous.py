"""Members of a JSON body that the gateway would read differently from Tollgate. Pure.

Go's decoder takes `Width` for `width`, lets a later member overwrite an earlier one, and merges a second list of
objects into the first: what is left of a repeated member is no longer what any other reader sees. Such a body is
refused; RFC 8259 section 4 calls its behaviour unpredictable.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from middlewares.edge.members import Document, invalid_parameter


def check_spelling(document: Document, names: frozenset[str]) -> None:
    """Raise `Refusal` (400) for a member that is one of `names` in all but letter case."""
    if names.issuperset(document):
        return
    for name in document:
        if name not in names and name.casefold() in names:
            raise invalid_parameter(name, f"must be spelled `{name.casefold()}`")


class UniqueNames:
    """Member names that no JSON object of a body may have twice."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)
        self._quoted = [(name, b'"%b"' % name.encode()) for name in names]

    def check(self, body: bytes, max_counts: Mapping[str, int]) -> None:
        """Raise `Refusal` (400) if an object in `body`, valid JSON, has one of the names twice.

        `max_counts`: how often a name may occur in an honest body, where that is more than once. Only a body in which a
        name occurs more often, be it in a text, or that may spell names by escapes, is parsed again to make sure.
        """
        repeated = any(body.count(quoted) > max_counts.get(name, 1) for name, quoted in self._quoted)
        if not repeated and b"\\u" not in body:
            return
        json.loads(body, object_pairs_hook=self._check_members, parse_int=str, parse_float=str)

    def _check_members(self, members: Sequence[tuple[str, Any]]) -> None:
        seen = [name for name, _ in members if name in self._names]
        for name in seen:
            if seen.count(name) > 1:
                raise invalid_parameter(name, "is given twice; keep one of them")
