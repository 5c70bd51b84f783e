"""Finding the model in a form (RFC 7578) as it arrives. Pure.

Go takes the first value of a form field (gateway contract section 1.1), so nothing after it has to be read. What two
readers could read in two ways - folded or repeated part headers, encoded names, loose delimiters - is refused.
"""

import re

from middlewares.exchange import Headers, Refusal

MODEL_FIELD = b"model_id"
"""The form field that names the model."""
_MAX_HEAD_BYTES = 8_192
_TOKEN = rb"[!#$%&'*+.^_`{|}~\w-]+"
_HEADER = re.compile(rb"(" + _TOKEN + rb"):([^\r\n]*)")
_PARAMETER = rb";[ \t]*(" + _TOKEN + rb')=("(?:[^"\\]|\\.)*"|' + _TOKEN + rb")[ \t]*"
_PARAMETERS = re.compile(_PARAMETER)
_VALUE = re.compile(rb"([\w/-]+)[ \t]*((?:" + _PARAMETER + rb")*);?")
_BOUNDARY = re.compile(rb"[\w'()+,./:=?-](?:[\w'()+,./:=? -]{0,68}[\w'()+,./:=?-])?")
_IDENTITY_ENCODINGS = (b"", b"7bit", b"8bit", b"binary")


def malformed_form(what: str) -> Refusal:
    """Return the refusal of a form that cannot be read, or not in one way only."""
    return Refusal(400, "malformed_form", f"The body must be a multipart form: {what}.", close=True)


def boundary_of(headers: Headers) -> bytes | None:
    """Return the boundary of a multipart body; None for a body of another kind, which the gateway itself refuses."""
    types = [value.strip() for name, value in headers if name == b"content-type"]
    if not any(each.lower().startswith(b"multipart/") for each in types):
        return None
    if len(types) > 1:
        raise malformed_form("it has two content types")
    _, parameters = _parse_value(types[0], "the content type")
    boundary = parameters.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise malformed_form("its content type has no usable boundary")
    return boundary


def model_part(boundary: bytes, model: str) -> bytes:
    """Return a part that names the model, to be put before the first one of the client."""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' % (boundary, MODEL_FIELD)
    return head + model.encode() + b"\r\n"


class ModelFinder:
    """Reads a form from its start until it knows the model; keeps what it has read in `body`."""

    def __init__(self, boundary: bytes) -> None:
        self.body = bytearray()
        self._delimiter = b"\r\n--" + boundary
        self._names_model: bool | None = None
        """Whether the part that is being read names the model; None: its head is still to come."""
        self._part = 0
        """Where the part begins: its head, then its content."""
        self._searched = 0
        """No delimiter starts before this place."""

    def feed(self, chunk: bytes) -> str | None:
        """Return the model; empty where the form ends without one; None: more is needed. Raises `Refusal` (400)."""
        body = self.body
        body += chunk
        if not self._part and not self._read_opening():
            return None
        while True:
            if self._names_model is None and not self._read_head():
                return None
            at = body.find(self._delimiter, self._searched)
            after = at + len(self._delimiter)
            if at < 0 or len(body) < after + 2:
                self._searched = at if at >= 0 else max(self._searched, len(body) - len(self._delimiter) + 1)
                return None
            end = bytes(body[after : after + 2])
            if end not in (b"\r\n", b"--"):
                if end[:1] in (b" ", b"\t", b"\r", b"\n", b"-"):
                    raise malformed_form("a boundary is followed by something else than a line's end")
                self._searched = after
                continue
            if self._names_model and (model := self._text(at)):
                return model
            if self._names_model or end == b"--":
                return ""
            self._names_model = None
            self._part = self._searched = after + 2

    def _read_opening(self) -> bool:
        """Read the first delimiter. Return True once it is complete."""
        opening = self._delimiter[2:] + b"\r\n"
        if not opening.startswith(self.body[: len(opening)]):
            raise malformed_form("it does not start with its boundary")
        if len(self.body) < len(opening):
            return False
        self._part = len(opening)
        return True

    def _read_head(self) -> bool:
        """Read the head of a part. Return True once it is complete."""
        end = self.body.find(b"\r\n\r\n", self._part, self._part + _MAX_HEAD_BYTES)
        if end < 0:
            if len(self.body) >= self._part + _MAX_HEAD_BYTES:
                raise malformed_form(f"the head of a part is longer than {_MAX_HEAD_BYTES} bytes")
            return False
        self._names_model = _names_model(bytes(self.body[self._part : end]))
        self._part = end + 4
        self._searched = end + 2  # an empty part's delimiter begins with the line's end before it
        return True

    def _text(self, end: int) -> str:
        try:
            return self.body[self._part : end].decode()
        except UnicodeDecodeError:
            raise malformed_form("its `model_id` is not UTF-8") from None


def _names_model(head: bytes) -> bool:
    """Return True if a part with these header lines is the value of the form field that names the model."""
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        header = _HEADER.fullmatch(line)
        if header is None or header[1].lower() in headers:
            raise malformed_form("the head of a part is not made of distinct headers, one a line")
        headers[header[1].lower()] = header[2].strip()
    if headers.get(b"content-transfer-encoding", b"").lower() not in _IDENTITY_ENCODINGS:
        raise malformed_form("a part has a transfer encoding")
    disposition, parameters = _parse_value(headers.get(b"content-disposition", b""), "the disposition of a part")
    name = parameters.get(b"name", b"")
    if disposition != b"form-data" or b"\\" in name or any(each.startswith(b"name*") for each in parameters):
        raise malformed_form("a part has no plain `form-data` name")
    if name != MODEL_FIELD:
        return False
    if any(b"*" in each for each in parameters):
        raise malformed_form("`model_id` has an encoded parameter")
    return not parameters.get(b"filename")


def _parse_value(value: bytes, what: str) -> tuple[bytes, dict[bytes, bytes]]:
    """Return word and parameters of a value such as `form-data; name="a"`, in lower case and without quotes."""
    whole = _VALUE.fullmatch(value)
    if whole is None:
        raise malformed_form(f"{what} cannot be read")
    pairs = [(name.lower(), text.strip(b'"')) for name, text in _PARAMETERS.findall(whole[2])]
    if len(dict(pairs)) < len(pairs):
        raise malformed_form(f"{what} has a parameter twice")
    return whole[1].lower(), dict(pairs)
