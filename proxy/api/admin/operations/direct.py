"""All operations on an open store."""

from __future__ import annotations

from proxy.api.admin.operations.acts import Acts
from proxy.api.admin.operations.audit import DirectAudit
from proxy.api.admin.operations.deployment import DirectDeployment
from proxy.api.admin.operations.events import DirectEvents
from proxy.api.admin.operations.ledger import DirectCredits, DirectReports
from proxy.api.admin.operations.orchestrators import DirectGateways, DirectOrchestrators
from proxy.api.admin.operations.people import DirectDevelopers, DirectInvites, DirectMembers, DirectOperators
from proxy.api.admin.operations.ports import Operations
from proxy.api.admin.operations.records import DirectApps, DirectKeys, DirectUsers
from proxy.api.admin.operations.resources import Resources
from proxy.api.admin.operations.subjects import DirectSubjects
from proxy.api.webhooks.operations import DirectWebhooks


class DirectOperations(Operations):
    """Operations by one actor; they are made for each act, which costs next to nothing."""

    def __init__(self, resources: Resources, acts: Acts) -> None:
        self._resources = resources
        self._acts = acts

    @property
    def apps(self) -> DirectApps:
        """Return the operations on apps; as the others."""
        return DirectApps(self._resources, self._acts)

    @property
    def keys(self) -> DirectKeys:
        return DirectKeys(self._resources, self._acts)

    @property
    def users(self) -> DirectUsers:
        return DirectUsers(self._resources, self._acts)

    @property
    def operators(self) -> DirectOperators:
        return DirectOperators(self._resources, self._acts)

    @property
    def developers(self) -> DirectDevelopers:
        return DirectDevelopers(self._resources, self._acts)

    @property
    def members(self) -> DirectMembers:
        return DirectMembers(self._resources, self._acts)

    @property
    def invites(self) -> DirectInvites:
        return DirectInvites(self._resources, self._acts)

    @property
    def orchestrators(self) -> DirectOrchestrators:
        return DirectOrchestrators(self._resources, self._acts)

    @property
    def gateways(self) -> DirectGateways:
        return DirectGateways(self._resources, self._acts)

    @property
    def webhooks(self) -> DirectWebhooks:
        return DirectWebhooks(self._resources, self._acts)

    @property
    def audit(self) -> DirectAudit:
        return DirectAudit(self._resources)

    @property
    def subjects(self) -> DirectSubjects:
        return DirectSubjects(self._resources, self._acts)

    @property
    def credits(self) -> DirectCredits:
        return DirectCredits(self._resources, self._acts)

    @property
    def events(self) -> DirectEvents:
        return DirectEvents(self._resources, self._acts)

    @property
    def reports(self) -> DirectReports:
        return DirectReports(self._resources)

    @property
    def deployment(self) -> DirectDeployment:
        return DirectDeployment(self._resources, self._acts)
