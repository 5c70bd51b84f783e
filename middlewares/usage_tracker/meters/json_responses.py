"""What a gateway's JSON answers say was made (gateway contract section 1.1): how many results, 0 for a failed 200."""

from __future__ import annotations

import msgspec

from middlewares.json_codec import decode


class _Any(msgspec.Struct):
    """Any object: several images may share one URL, so only their number counts."""


class _Images(msgspec.Struct):
    images: list[_Any]


class _Text(msgspec.Struct):
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
_TEXT = msgspec.json.Decoder(_Text)
_MASKS = msgspec.json.Decoder(_Masks)
_AUDIO = msgspec.json.Decoder(_Audio)
_ACCEPTED = msgspec.json.Decoder(_Accepted)
_RESULT = msgspec.json.Decoder(_Result)


def images(answer: bytearray) -> int:
    """`{"images":[..]}`."""
    found = decode(_IMAGES, answer)
    return len(found.images) if found else 0


def text(answer: bytearray) -> int:
    """`{"text":".."}`; silence has an empty one."""
    return int(decode(_TEXT, answer) is not None)


def masks(answer: bytearray) -> int:
    """`{"masks":"..", ..}`."""
    return int(decode(_MASKS, answer) is not None)


def audio(answer: bytearray) -> int:
    """`{"audio":{..}}`."""
    return int(decode(_AUDIO, answer) is not None)


def accepted(answer: bytearray) -> int:
    """`{"request_id":".."}` of a video that is made detached (section 1.3)."""
    return int(decode(_ACCEPTED, answer) is not None)


def detached(answer: bytearray) -> int:
    """`{"result":{"images":[..]}, ..}`, the end of a detached video; an error stands in the same place."""
    found = decode(_RESULT, answer)
    return len(found.result.images) if found else 0
