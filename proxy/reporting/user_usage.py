"""Usage of an app by its users, with the day on which each was last used, and by other dimensions beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from proxy.reporting.totals import Breakdown, Dimension, GroupValues, UsageTotal

_BY_USER = (Dimension.USER, Dimension.DAY)


@dataclass(slots=True)
class UserUsage:
    """What one user used. `last_day` None: nothing."""

    requests: int = 0
    amount: int = 0
    """Money, in atomic units."""
    last_day: date | None = None


@dataclass(slots=True)
class UsageByUser:
    """The usage of an app: of each user, under its id, and of all and the app itself together."""

    total: UsageTotal
    users: Mapping[str, UserUsage] = field(default_factory=dict)
    groups: Mapping[GroupValues, UsageTotal] = field(default_factory=dict)
    """By the values of the dimensions that were wanted beside; empty where events have none."""


def dimensions_for(beside: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """Return by what usage has to be read for `usage_by_user`."""
    return tuple(dict.fromkeys((*_BY_USER, *beside)))


def usage_by_user(found: Breakdown, beside: Sequence[Dimension] = (), only: str | None = None) -> UsageByUser:
    """Return what was read by `dimensions_for(beside)`, of one user only if it is named."""
    total = UsageTotal() if only is not None else found.total
    users: dict[str, UserUsage] = {}
    groups: dict[GroupValues, UsageTotal] = {}
    places = [found.dimensions.index(each) for each in beside]
    for values, part in found.rows():
        user = values[0]
        if only is not None:
            if user != only:
                continue
            total.include(part)
        if user:
            _add(users.setdefault(user, UserUsage()), values, part)
        if places:
            groups.setdefault(tuple(values[place] for place in places), UsageTotal()).include(part)
    return UsageByUser(total, users, dict(sorted(groups.items())))


def _add(usage: UserUsage, values: GroupValues, part: UsageTotal) -> None:
    usage.requests += part.requests
    usage.amount += part.amount
    if part.requests:
        usage.last_day = date.fromisoformat(values[1])  # rows are in the order of days
