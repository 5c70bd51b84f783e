"""What an operator does for developers, by the services that the commands use."""

from __future__ import annotations

from datetime import timedelta

from middlewares.auth.keys import pepper_of
from proxy.control.developers.developers import Developers
from proxy.control.developers.invites import Invites
from proxy.control.developers.memberships import Memberships
from proxy.control.developers.records import DeveloperRecord, MemberRole
from tests.support.deployment import Deployment
from tests.support.wallet import Wallet


class Operator:
    """The operator of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    async def add(self, wallet: Wallet) -> str:
        """Add the owner of a wallet; return the developer's id."""
        async with self.deployment.store() as store:
            return (await Developers(store.redis).create(wallet.address))[0].developer_id

    async def find(self, wallet: Wallet) -> DeveloperRecord | None:
        """Return the owner of a wallet."""
        async with self.deployment.store() as store:
            return await Developers(store.redis).find(wallet.address)

    async def suspend(self, developer: str) -> None:
        """Suspend a developer."""
        async with self.deployment.store() as store:
            await Developers(store.redis).suspend(developer)

    async def activate(self, developer: str) -> None:
        """Approve or resume a developer."""
        async with self.deployment.store() as store:
            await Developers(store.redis).activate(developer)

    async def member(self, app: str, developer: str, role: MemberRole) -> None:
        """Give a developer a role in an app."""
        async with self.deployment.store() as store:
            await Memberships(store.redis).put(app, developer, role)

    async def remove(self, app: str, developer: str) -> None:
        """End a membership."""
        async with self.deployment.store() as store:
            assert await Memberships(store.redis).remove(app, developer)

    async def invite(self, app: str, role: MemberRole = "developer", lifetime: timedelta = timedelta(days=1)) -> str:
        """Return the code of a new invitation."""
        pepper = pepper_of(self.deployment.settings.auth)
        async with self.deployment.store() as store:
            return (await Invites(store.redis, pepper).create(app, role, lifetime))[1]
