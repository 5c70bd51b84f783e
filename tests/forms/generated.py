"""Forms of every kind that two readers might read in two ways, the same ones each time."""

from __future__ import annotations

import random
from typing import NamedTuple


class GeneratedForm(NamedTuple):
    """A request's content type and body."""

    content_type: bytes
    body: bytes


CONTENT_TYPES = [
    b"multipart/form-data; boundary=b",
    b'multipart/form-data; boundary="b"',
    b"Multipart/Form-Data; BOUNDARY=b",
    b"multipart/form-data;boundary=b; charset=utf-8",
    b"multipart/form-data; boundary=b; charset=utf-8; x=y",
    b"multipart/form-data; boundary*=utf-8''b",
    b"multipart/form-data; boundary*0=b",
    b"multipart/form-data; boundary=x; boundary*=utf-8''b",
    b'multipart/form-data; x="; boundary=evil"; boundary=b',
    b'multipart/form-data; x="; boundary=b"; boundary=c',
    b"multipart/form-data; boundary=b; boundary=b",
    b"multipart/form-data; boundary=b; boundary=c",
    b"multipart/form-data; boundary=b;",
    b"multipart/form-data; boundary = b",
    b"multipart/form-data; boundary='b'",
    b"multipart/form-data; boundary=b c",
    b"multipart/form-data, boundary=b",
    b"multipart/mixed; boundary=b",
    b"multipart/related; boundary=b",
    b"multipart/form-data ; boundary=b",
    b"multipart/form-data\t;\tboundary=b",
    b"multipart/form-data",
]

NAMES = [b"model_id", b"width", b"image", b"other"]
NAMINGS = [
    b'name="%b"',
    b"name=%b",
    b"NAME=%b",
    b"name*=utf-8''%b",
    b"name*0=%b",
    b'name*0="x"; name="%b"',
    b'name="%b"; name="%b"',
    b'name="%b"; name="zz"',
    b'name="\\%b"',
    b'name="x\\"; name="%b"',
    b"name='%b'",
    b'name="%b" ',
    b'name = "%b"',
]
FILE_NAMES = [
    b"",
    b'; filename="f"',
    b'; filename=""',
    b"; filename=f.png",
    b"; filename*=utf-8''f",
    b"; filename*=utf-8''",
    b"; filename=\"f\"; filename*=utf-8''%C3%A9",
    b"; filename=\"f\"; filename*=utf-8''",
    b"; filename=\"\"; filename*=utf-8''f",
    b'; filename*0="f"',
    b'; filename="a\\"b"',
    b'; filename="C:\\dir\\f"',
    b'; filename="f"; x="y"',
    b"; filename=f; filename=f",
    b'; filename="f";',
    b'; filename="f"; name="other"',
]
KINDS = [b"form-data", b"Form-Data", b"attachment", b"form-data ", b""]
EXTRA = [
    b"",
    b"\r\nContent-Type: image/png",
    b"\r\nContent-Transfer-Encoding: quoted-printable",
    b"\r\nContent-Transfer-Encoding: QUOTED-PRINTABLE",
    b"\r\nContent-Transfer-Encoding: binary",
    b"\r\nContent-Transfer-Encoding: base64",
    b'\r\nContent-Disposition: form-data; name="model_id"',
    b"\r\n folded",
    b"\nX: y",
    b"\r\nX : y",
    b"\r\nnonsense",
]
VALUES = [b"8192", b"cheap", b"dear", b"", b"+8192", b"0008192", b"-1", b"1_0", b" 5", b"0x10", b"9" * 30, b"=63heap"]
DECOYS = [b"", b"\r\n--b", b"\r\n--bx", b"\r\n--b-", b"\n--b\r\n", b"\r\n--b \r\n", b"--b", b"\r\n--b--x", b"\r\n"]
OPENINGS = [b"", b"\r\n", b"\n", b"preamble\r\n", b"preamble\n", b"--bx\r\n", b"--b \r\n", b"preamble"]
ENDINGS = [b"--b--\r\n", b"--b--", b"--b--\r\nepilogue", b"--b-- \r\n", b"--b--x", b"--b-", b"", b"--b\r\n"]
CUTS = [b"\r\n", b"\n", b"\r", b" ", b"--b", b";", b'"', b"\\", b"\0", b"\xc3\xa9", b"=6D", b"-"]


PLAIN = 0.9
"""How often the first, plain one of several choices is taken."""


def pick(any_of: random.Random, choices: list[bytes]) -> bytes:
    """Return the plain choice, or any."""
    return choices[0] if any_of.random() < PLAIN else any_of.choice(choices)


def part(any_of: random.Random) -> bytes:
    """Return a part with a head that is right more often than not."""
    name = any_of.choice(NAMES)
    naming = pick(any_of, NAMINGS).replace(b"%b", name)
    plain_file_name = FILE_NAMES[1] if name == b"image" else FILE_NAMES[0]
    file_name = pick(any_of, [plain_file_name, *FILE_NAMES])
    head = b"Content-Disposition: " + pick(any_of, KINDS) + b"; " + naming + file_name + pick(any_of, EXTRA)
    content = pick(any_of, VALUES) if name == b"width" else any_of.choice(VALUES)
    return b"--b\r\n" + head + b"\r\n\r\n" + content + pick(any_of, DECOYS) + b"\r\n"


def form(any_of: random.Random) -> GeneratedForm:
    """Return a form, now and then with some bytes changed."""
    parts = b"".join(part(any_of) for _ in range(any_of.randint(1, 4)))
    body = pick(any_of, OPENINGS) + parts + pick(any_of, ENDINGS)
    for _ in range(any_of.choice((0, 0, 0, 0, 1, 2))):
        at, text = any_of.randrange(len(body) + 1), any_of.choice(CUTS)
        body = body[:at] + text + body[at + any_of.choice((0, 0, 1, len(text))) :]
    return GeneratedForm(pick(any_of, CONTENT_TYPES), body)


def forms(number: int) -> list[GeneratedForm]:
    """Return so many forms; the first ones of a longer list are those of a shorter one."""
    any_of = random.Random(20261129)
    return [form(any_of) for _ in range(number)]
