"""Meter of text-to-speech: the characters to be spoken."""

from __future__ import annotations

from config.workloads import Unit
from middlewares.exchange import Declaration
from middlewares.ledger.model import Provenance, Usage
from middlewares.usage_tracker.meters.base import ResponseKeeper, metered
from middlewares.usage_tracker.meters.json_responses import audio


class SpeechMeter(ResponseKeeper):
    """Counts the code points of the request's `text`, if the response links to audio."""

    __slots__ = ("_declared",)

    def __init__(self, declared: Declaration) -> None:
        super().__init__()
        self._declared = declared

    def request_body(self, chunk: bytes) -> None:
        """Ignore the body: it was read before admission, and `Declaration` holds what counts."""

    def usage(self) -> Usage:
        count, _ = self.results(audio, 1)
        if not count:
            return Usage(complete=False)
        units = {Unit.CHARACTERS: self._declared.units.get(Unit.CHARACTERS, 0)}
        return metered(units, {Unit.CHARACTERS: Provenance.DECLARED}, complete=True)
