"""Who looks by a link of an app, and at what."""

from __future__ import annotations

from dataclasses import dataclass

from middlewares.auth.records import AppRecord, UserRecord
from middlewares.exchange import Refusal
from proxy.control.developers.view_links import ViewLinkRecord
from proxy.portal.services import PortalServices


@dataclass(frozen=True, slots=True)
class SharedView:
    """A link that is good, and what it shows."""

    link: ViewLinkRecord
    app: AppRecord
    user: UserRecord | None
    """Whose part is shown; None: the whole app, to a member."""

    @property
    def user_id(self) -> str | None:
        """Return the id of the user; None: the whole app is shown."""
        return None if self.user is None else self.user.user_id


async def view_of(services: PortalServices, secret: str) -> SharedView:
    """Return what a link shows now. Raises `Refusal`: 410, and 403 for an app that is suspended.

    All is looked up anew: the end of a link, a user, a developer or a membership counts with the next request.
    """
    link = await services.view_links.find(secret)
    app = None if link is None else await services.developers.apps.get(link.app)
    if link is None or app is None:
        raise view_link_invalid()
    if app.status != "active":
        raise Refusal(403, "app_suspended", "The app is suspended.")
    if link.kind == "user":
        user = await services.users.get(link.app, link.subject)
        if user is None or user.status != "active":
            raise view_link_invalid()
        return SharedView(link, app, user)
    member = await services.developers.memberships.get(link.app, link.subject)
    developer = await services.developers.developers.get(link.subject)
    if member is None or developer is None or developer.status != "active":
        raise view_link_invalid()
    return SharedView(link, app, None)


def view_link_invalid(status: int = 410) -> Refusal:
    """Return the refusal of a link that shows nothing."""
    detail = "The link has expired, was revoked, or never was one. Open it anew where you found it."
    return Refusal(status, "view_link_invalid", detail)
