"""Links to a view of the portal over HTTP: an app gives them to its users, and to people who work for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Self

from fastapi import Depends, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from middlewares.exchange import Refusal
from proxy.api.audit.route import CurrentAct
from proxy.api.caller import Caller, CallerWith
from proxy.api.json_api import long_response
from proxy.api.models import ExternalId, RequestBody
from proxy.api.services import BuilderServices
from proxy.api.users import check_active, unknown_name
from proxy.control.audit.line import AuditTarget
from proxy.control.developers.view_links import SubjectKind, ViewLinkRecord
from proxy.identity.token_issuer import ADMIN

VIEW_PATH = "/portal/view/"
"""What the secret of a link stands behind in its URL."""
LONGEST_SECONDS = 86_400

Owner = Annotated[Caller, Depends(CallerWith(ADMIN))]
LinkId = Annotated[str, Path(pattern="^[a-z2-7]{16}$")]


class NewPortalLink(RequestBody):
    """A link to create."""

    subject: ExternalId = Field(
        description="User id or external id of a user of the app, or the id of a developer who is a member of it."
    )
    expires_in_seconds: int = Field(LONGEST_SECONDS, ge=60, le=LONGEST_SECONDS)


class PortalLinkView(BaseModel):
    """A link to a view of the portal, without its URL.

    It opens one page and changes nothing. A user sees its own part of the app: its credits, its usage of the month, its
    latest requests and its keys without their text. A member sees the same of the whole app, as the role `viewer` does,
    whatever its own role is. Whoever has the URL can open it, as often as they like, until it ends.
    """

    link_id: str
    kind: SubjectKind = Field(description="`user`: an end user of the app. `member`: a developer, who is a member.")
    subject: str = Field(description="User id or developer id.")
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, link: ViewLinkRecord) -> Self:
        """Return the view of a link."""
        return cls.model_validate(link, from_attributes=True)


class CreatedPortalLink(PortalLinkView):
    """A new link, with its URL, which is in this response and nowhere else."""

    url: str = Field(description="A page with a button, which opens the view.")


class PortalLinkList(BaseModel):
    """The links of an app that are good, oldest first."""

    portal_links: list[PortalLinkView]


class ViewLinkEndpoints:
    """The routes below `/api/v1/apps/{client_id}/portal-links`."""

    def __init__(self, services: BuilderServices) -> None:
        self._links = services.view_links
        self._users = services.users
        self._developers = services.developers
        self._origin = services.origin

    async def create(self, client_id: str, caller: Owner, act: CurrentAct, body: NewPortalLink) -> CreatedPortalLink:
        """Create a link by which a user or a member sees what is its own, for a day at most. It changes nothing."""
        kind, subject = await self._subject(caller.app, body.subject, act.detail)
        link, secret = await self._links.create(caller.app, kind, subject, timedelta(seconds=body.expires_in_seconds))
        act.target = AuditTarget("portal_link", link.link_id, caller.app)
        act.detail |= {"kind": kind, "subject": subject}
        url = f"{self._origin}{VIEW_PATH}{secret}"
        return CreatedPortalLink(**PortalLinkView.of(link).model_dump(), url=url)

    async def list(self, client_id: str, caller: Owner) -> Response:
        """Return the links of the app that are good."""
        found = await self._links.list(caller.app)
        return await long_response(lambda: PortalLinkList(portal_links=[PortalLinkView.of(each) for each in found]))

    async def revoke(self, client_id: str, link_id: LinkId, caller: Owner, act: CurrentAct) -> Response:
        """End a link at once, also where it is open; return those that are left."""
        act.target = AuditTarget("portal_link", link_id, caller.app)
        if not await self._links.end(caller.app, link_id):
            raise Refusal(404, "unknown_id", "The app has no such link that is good.")
        return await self.list(client_id, caller)

    async def _subject(self, app: str, name: str, detail: dict[str, str | int | None]) -> tuple[SubjectKind, str]:
        """Return who is meant. Raises `Refusal`: 404 for nobody of this app, 403 for a user that is suspended."""
        user = await self._users.resolve(app, name)
        if user is not None:
            check_active(user)
            return "user", user.user_id
        if await self._developers.memberships.get(app, name) is not None:
            return "member", name
        detail["requested"] = unknown_name(name)
        raise Refusal(404, "unknown_id", "The app has no such user and no such member.")
