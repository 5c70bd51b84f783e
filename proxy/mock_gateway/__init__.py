"""A stand-in for a go-livepeer gateway: its HTTP behaviour, misbehaviour included, without a network behind it.

`tollgate demo` runs it and the tests use it as their gateway. "Gateway contract section n" in these files names
the section of the fact sheet of go-livepeer's HTTP behaviour that the code reproduces.
"""

from proxy.mock_gateway.record import Record
from proxy.mock_gateway.server import MockGateway

__all__ = ["MockGateway", "Record"]
