"""Finding the model in a form (RFC 7578) as it arrives. Pure.

Go takes the first value of a field (gateway contract section 1.1), so nothing after it has to be read. What two
readers could read in two ways - folded or repeated part headers, encoded names, loose delimiters - is refused.
"""

import re

from middlewares.exchange import Headers, Refusal

FIELD = b"model_id"
_HEAD_BYTES = 8_192
_TOKEN = rb"[!#$%&'*+.^_`{|}~\w-]+"
_LINE = re.compile(rb"(" + _TOKEN + rb"):([^\r\n]*)")
_PARAMETER = rb";[ \t]*(" + _TOKEN + rb')=("(?:[^"\\]|\\.)*"|' + _TOKEN + rb")[ \t]*"
_PARAMETERS = re.compile(_PARAMETER)
_VALUE = re.compile(rb"([\w/-]+)[ \t]*((?:" + _PARAMETER + rb")*);?")
_BOUNDARY = re.compile(rb"[\w'()+,./:=?-](?:[\w'()+,./:=? -]{0,68}[\w'()+,./:=?-])?")
_PLAIN = (b"", b"7bit", b"8bit", b"binary")


def malformed(what: str) -> Refusal:
    """A form that cannot be read, or not in one way only."""
    return Refusal(400, "malformed_form", f"The body must be a multipart form: {what}.", close=True)


def boundary_of(headers: Headers) -> bytes | None:
    """The boundary of a multipart body; None for a body of another kind, which the gateway refuses by itself."""
    kinds = [value.strip() for name, value in headers if name == b"content-type"]
    if not any(kind.lower().startswith(b"multipart/") for kind in kinds):
        return None
    if len(kinds) > 1:
        raise malformed("it has two content types")
    _, parameters = _parsed(kinds[0], "the content type")
    boundary = parameters.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise malformed("its content type has no usable boundary")
    return boundary


def model_part(boundary: bytes, model: str) -> bytes:
    """A part that names the model, to be put before the first one of the client."""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' % (boundary, FIELD)
    return head + model.encode() + b"\r\n"


class ModelFinder:
    """Fed with a body from its start; keeps what it was fed in `body`."""

    def __init__(self, boundary: bytes) -> None:
        self.body = bytearray()
        self._delimiter = b"\r\n--" + boundary
        self._names_model: bool | None = None
        """Whether the part that is being read does; None: its head is still to come."""
        self._part = 0
        """Where the part begins: its head, then its content."""
        self._seen = 0
        """No delimiter starts before this place."""

    def feed(self, piece: bytes) -> str | None:
        """The model; empty where the form ends without one; None: more is needed. Raises `Refusal` (400)."""
        body = self.body
        body += piece
        if not self._part and not self._opened():
            return None
        while True:
            if self._names_model is None and not self._head():
                return None
            at = body.find(self._delimiter, self._seen)
            after = at + len(self._delimiter)
            if at < 0 or len(body) < after + 2:
                self._seen = at if at >= 0 else max(self._seen, len(body) - len(self._delimiter) + 1)
                return None
            end = bytes(body[after : after + 2])
            if end not in (b"\r\n", b"--"):
                if end[:1] in (b" ", b"\t", b"\r", b"\n", b"-"):
                    raise malformed("a boundary is followed by something else than a line's end")
                self._seen = after
                continue
            if self._names_model and (model := self._text(at)):
                return model
            if self._names_model or end == b"--":
                return ""
            self._names_model = None
            self._part = self._seen = after + 2

    def _opened(self) -> bool:
        """Whether the first delimiter has been read."""
        opening = self._delimiter[2:] + b"\r\n"
        if not opening.startswith(self.body[: len(opening)]):
            raise malformed("it does not start with its boundary")
        if len(self.body) < len(opening):
            return False
        self._part = len(opening)
        return True

    def _head(self) -> bool:
        """Whether the head of a part has been read."""
        end = self.body.find(b"\r\n\r\n", self._part, self._part + _HEAD_BYTES)
        if end < 0:
            if len(self.body) >= self._part + _HEAD_BYTES:
                raise malformed(f"the head of a part is longer than {_HEAD_BYTES} bytes")
            return False
        self._names_model = _names_model(bytes(self.body[self._part : end]))
        self._part = end + 4
        self._seen = end + 2  # an empty part's delimiter begins with the line's end before it
        return True

    def _text(self, end: int) -> str:
        try:
            return self.body[self._part : end].decode()
        except UnicodeDecodeError:
            raise malformed("its `model_id` is not UTF-8") from None


def _names_model(head: bytes) -> bool:
    """Whether a part with these header lines is the value of the field that names the model."""
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        whole = _LINE.fullmatch(line)
        if whole is None or whole[1].lower() in fields:
            raise malformed("the head of a part is not made of distinct fields, one a line")
        fields[whole[1].lower()] = whole[2].strip()
    if fields.get(b"content-transfer-encoding", b"").lower() not in _PLAIN:
        raise malformed("a part has a transfer encoding")
    kind, parameters = _parsed(fields.get(b"content-disposition", b""), "the disposition of a part")
    name = parameters.get(b"name", b"")
    if kind != b"form-data" or b"\\" in name or any(each.startswith(b"name*") for each in parameters):
        raise malformed("a part has no plain `form-data` name")
    if name != FIELD:
        return False
    if any(b"*" in each for each in parameters):
        raise malformed("`model_id` has an encoded parameter")
    return not parameters.get(b"filename")


def _parsed(value: bytes, what: str) -> tuple[bytes, dict[bytes, bytes]]:
    """A value such as `form-data; name="a"`, its words in lower case, its quotes removed."""
    whole = _VALUE.fullmatch(value)
    if whole is None:
        raise malformed(f"{what} cannot be read")
    pairs = [(name.lower(), text.strip(b'"')) for name, text in _PARAMETERS.findall(whole[2])]
    if len(dict(pairs)) < len(pairs):
        raise malformed(f"{what} has a parameter twice")
    return whole[1].lower(), dict(pairs)
