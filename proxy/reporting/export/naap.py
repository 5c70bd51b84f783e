"""Usage for NaaP: one window for each app and UTC day, for its `POST /api/v1/metrics/ingest`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import msgspec

from config.runtime import Currency
from proxy.reporting.export.http import HttpReceiver
from proxy.reporting.export.retry import Retry
from proxy.reporting.export.sinks import Poisoned
from proxy.reporting.totals import Breakdown, Dimension

DIMENSIONS = (Dimension.WORKLOAD, Dimension.MODEL)
"""What a window is broken down by, in this order."""


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """What operator and NaaP have agreed on."""

    provider: str
    """NaaP's `providerSlug`."""
    currency: Currency
    fees: bool
    """True: amounts are sent as fees. They are what the app is charged, as Tollgate does not see what gateways pay."""

    @property
    def fee(self) -> str | None:
        """Name of the window's amount; None where the currency is one that NaaP has no name for, or fees stay out."""
        names = {("ETH", 18): "feeWei", ("USD", 6): "networkFeeUsdMicros"}
        return names.get((self.currency.code, self.currency.decimals)) if self.fees else None


def window_of(app: str, account: str, day: date, usage: Breakdown, terms: WindowTerms) -> dict[str, Any]:
    """Return the window of a day, whose usage is broken down by `DIMENSIONS`.

    NaaP takes the last window that it is sent for a provider, account, app and day, so a repeat counts once.
    """
    window: dict[str, Any] = {
        "providerSlug": terms.provider,
        "accountId": account,
        "appId": app,
        "window": {"from": f"{day}T00:00:00Z", "to": f"{day + timedelta(days=1)}T00:00:00Z"},
        "sessions": usage.total.requests,
    }
    if terms.fee:
        window[terms.fee] = str(usage.total.amount) if terms.fee == "feeWei" else usage.total.amount
    by_capability = {
        f"{workload}:{model}": {"networkFeeUsdMicros": total.amount} if terms.fee == "networkFeeUsdMicros" else {}
        for (workload, model), total in usage.rows()
        if workload and model
    }
    return window | {"byCapability": by_capability} if by_capability else window


class WindowReports:
    """Reports windows, one after the other; `taken` and `refused` count them."""

    def __init__(
        self,
        url: str,
        headers: Callable[[], dict[str, str]],
        timeout: float,
        *,
        retry: Retry,
        report: Callable[[str], None],
    ) -> None:
        """As `HttpReceiver`; `report` is called with a line about each window that NaaP refuses."""
        self._receiver = HttpReceiver(url, "/api/v1/metrics/ingest", headers, timeout)
        self._retry = retry
        self._report = report
        self.taken = 0
        self.refused = 0

    async def send(self, window: dict[str, Any]) -> None:
        """Send one window, again and again where NaaP cannot be reached. Raises `GaveUp` or `Refused`."""
        body = msgspec.json.encode(window)
        try:
            await self._retry.until_done(lambda: self._post(body))
        except Poisoned as error:
            self.refused += 1
            self._report(f"the window of {window['appId']} from {window['window']['from']} was refused: {error}")
        else:
            self.taken += 1

    async def _post(self, body: bytes) -> None:
        self._receiver.judge(await self._receiver.post("application/json", body))

    async def close(self) -> None:
        """Close the connection."""
        await self._receiver.close()
