"""Counts the results in a gateway's JSON responses (gateway contract section 1.1); 0 is a 200 that failed."""

from __future__ import annotations

import msgspec

from middlewares.json_codec import decode


class _Any(msgspec.Struct):
    """Any object: several images may share one URL, so only their number counts."""


class _Images(msgspec.Struct):
    images: list[_Any]


class _TextResponse(msgspec.Struct):
    text: str


class _Masks(msgspec.Struct):
    masks: str


class _Audio(msgspec.Struct):
    audio: _Any


class _Accepted(msgspec.Struct):
    request_id: str


class _Result(msgspec.Struct):
    result: _Images


_IMAGES = msgspec.json.Decoder(_Images)
_TEXT = msgspec.json.Decoder(_TextResponse)
_MASKS = msgspec.json.Decoder(_Masks)
_AUDIO = msgspec.json.Decoder(_Audio)
_ACCEPTED = msgspec.json.Decoder(_Accepted)
_RESULT = msgspec.json.Decoder(_Result)


def images(body: bytearray) -> int:
    """Return the number of images in `{"images":[..]}`."""
    found = decode(_IMAGES, body)
    return len(found.images) if found else 0


def text(body: bytearray) -> int:
    """Return 1 for `{"text":".."}`, also with an empty text, which is what silence gives."""
    return int(decode(_TEXT, body) is not None)


def masks(body: bytearray) -> int:
    """Return 1 for `{"masks":"..", ..}`."""
    return int(decode(_MASKS, body) is not None)


def audio(body: bytearray) -> int:
    """Return 1 for `{"audio":{..}}`."""
    return int(decode(_AUDIO, body) is not None)


def accepted(body: bytearray) -> int:
    """Return 1 for `{"request_id":".."}`, an accepted asynchronous video (section 1.3)."""
    return int(decode(_ACCEPTED, body) is not None)


def finished_video(body: bytearray) -> int:
    """Return the number of videos in `{"result":{"images":[..]}, ..}`; 0 if an error stands in place of the result."""
    found = decode(_RESULT, body)
    return len(found.result.images) if found else 0
