"""A BYOC worker's status is passed through by its gateway, whatever number it is."""

from pathlib import Path

import pytest

from middlewares.response.headers import client_status
from tests.response.server_fixture import responding, serving


@pytest.mark.sampled(4)
@pytest.mark.parametrize("status", [0, 99, 100, 101, 103, 199, 600, 999])
async def test_no_class_of_status_becomes_502(status: int, tmp_path: Path) -> None:
    async with serving(responding(status, [(b"content-length", b"4")], b"body"), tmp_path) as server:
        response = await server.request()
        assert (response.status_code, response.content) == (502, b"body")
        assert [line["status"] for line in await server.lines()] == [502]


@pytest.mark.parametrize("status", [200, 226, 299, 418, 450, 481, 599])
def test_unknown_members_of_a_class_pass(status: int) -> None:
    assert client_status(status) == status
