"""A real Redis Cluster on the loopback."""

import time
from collections.abc import Callable, Iterator
from itertools import count, pairwise

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tests.store.servers import WITHIN, RedisServer

OPTIONS = (
    *("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-require-full-coverage", "no"),
    *("--repl-diskless-sync-delay", "0"),
)


class RedisCluster:
    """Masters that share all slots evenly, in order; replicas on request."""

    def __init__(self, start: Callable[..., RedisServer], masters: int = 3) -> None:
        self._start = start
        self.masters = [start(*OPTIONS, tcp=True) for _ in range(masters)]
        self._all = list(self.masters)
        bounds = [REDIS_CLUSTER_HASH_SLOTS * n // masters for n in range(masters + 1)]
        for epoch, (master, (first, end)) in enumerate(zip(self.masters, pairwise(bounds), strict=True), 1):
            master.ask("CLUSTER", "SET-CONFIG-EPOCH", str(epoch))
            master.ask("CLUSTER", "ADDSLOTS", *map(str, range(first, end)))
            self._meet(master)
        self._settle()

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(str(master.endpoint) for master in self.masters)

    def add(self) -> RedisServer:
        """A member without slots."""
        server = self._start(*OPTIONS, tcp=True)
        self._all.append(server)
        self._meet(server)
        self._settle()
        return server

    def add_replica(self, master: RedisServer) -> RedisServer:
        """A member that takes over when `master` dies."""
        replica = self.add()
        _until(lambda: replica.ask("CLUSTER", "REPLICATE", self.id_of(master)).startswith("+OK"))
        _until(lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
        _until(lambda: all("slave " in server.ask("CLUSTER", "NODES") for server in self._all))
        return replica

    def id_of(self, server: RedisServer) -> str:
        return server.ask("CLUSTER", "MYID").split("\r\n")[1]

    def master_of(self, key: str) -> RedisServer:
        return self.masters[key_slot(key.encode()) * len(self.masters) // REDIS_CLUSTER_HASH_SLOTS]

    def tags_of(self, server: RedisServer) -> Iterator[str]:
        """Hash tags whose keys live on `server`."""
        return (f"{{{n}}}" for n in count() if self.master_of(f"{{{n}}}") is server)

    def is_empty(self, slot: int) -> bool:
        """Whether no member has a key of `slot`."""
        return all(member.ask("CLUSTER", "COUNTKEYSINSLOT", str(slot)) == ":0\r\n" for member in self._all)

    def assign(self, slot: int, server: RedisServer) -> None:
        """Say everywhere that `server` serves `slot` from now on; the new owner first, so it is never without one."""
        for member in (server, *(member for member in self._all if member is not server)):
            reply = member.ask("CLUSTER", "SETSLOT", str(slot), "NODE", self.id_of(server))
            assert reply.startswith("+OK"), reply

    def _meet(self, server: RedisServer) -> None:
        first = self.masters[0].endpoint
        if server is not self.masters[0]:
            server.ask("CLUSTER", "MEET", first.host, str(first.port))

    def _settle(self) -> None:
        """Wait until every member sees every other, and all slots served."""
        for server in self._all:
            _until(lambda s=server: _settled(s.ask("CLUSTER", "INFO"), len(self._all)))  # type: ignore[misc]


def _settled(info: str, size: int) -> bool:
    facts = dict(line.split(":") for line in info.splitlines() if ":" in line)
    told = (facts.get("cluster_state"), facts.get("cluster_known_nodes"), facts.get("cluster_slots_assigned"))
    return told == ("ok", str(size), str(REDIS_CLUSTER_HASH_SLOTS))


def _until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < give_up, "the cluster does not settle"
        time.sleep(0.02)
