"""Receivers of usage, written to their published contracts: OpenMeter, Lago, Stripe's meters, NaaP's ingest.

Each takes the key that it was started with, refuses what the real one refuses, and counts what it has accepted by id.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

TOKEN = "sesame-token"


class BillingReceiver:
    """A receiver on a port of the loopback. `accepted` has each event once for each time that it would be billed."""

    path = ""

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.values: dict[str, Any] = {}
        self.requests = 0
        self.before: Callable[[str], web.Response | None] = lambda _: None
        """Called with the body of each request; a response that it returns is sent instead of any other."""
        self.after: Callable[[], bool] = lambda: False
        """Called when a request has been accepted; True: the connection is cut instead of a response."""
        self.arrived = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> Self:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post(self.path, self._take)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        text = (await request.read()).decode()
        self.requests += 1
        self.arrived.set()
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "unauthorized"}, status=401)
        if response := self.before(text):
            return response
        response = self.take(request, text)
        if response.status < 300 and self.after():
            assert request.transport is not None
            request.transport.abort()
        return response

    def take(self, request: web.Request, text: str) -> web.Response:
        """Accept or refuse a request."""
        raise NotImplementedError


class OpenMeterReceiver(BillingReceiver):
    """`POST /api/v1/events`: 204, or 400 for a whole batch; a repeat (source and id) is accepted and counts nothing."""

    path = "/api/v1/events"

    def take(self, request: web.Request, text: str) -> web.Response:
        body = json.loads(text)
        batch = request.content_type == "application/cloudevents-batch+json"
        if batch is not isinstance(body, list) or not (batch or request.content_type == "application/cloudevents+json"):
            return web.json_response({"title": "content type and body differ"}, status=400)
        events = body if batch else [body]
        if any(each["specversion"] != "1.0" or not each["subject"] or not each["source"] for each in events):
            return web.json_response({"title": "invalid event"}, status=400)
        for each in events:
            if each["id"] not in self.accepted:
                self.accepted[each["id"]] += 1
                self.values[each["id"]] = each
        return web.Response(status=204)


class LagoReceiver(BillingReceiver):
    """`POST /api/v1/events/batch`: all or nothing, 422 with the faults of each event by its index."""

    path = "/api/v1/events/batch"

    def __init__(self, codes: set[str]) -> None:
        super().__init__()
        self.codes = codes

    def take(self, request: web.Request, text: str) -> web.Response:
        events = json.loads(text)["events"]
        if len(events) > 100:
            return web.json_response({"status": 422, "error_details": {"events": ["too_many_events"]}}, status=422)
        faults: dict[str, Any] = {}
        for index, each in enumerate(events):
            if each["transaction_id"] in self.accepted:
                faults[str(index)] = {"transaction_id": ["value_already_exist"]}
            elif each["code"] not in self.codes:
                faults[str(index)] = {"code": ["metric_not_found"]}
        if faults:
            details = {"status": 422, "error": "Unprocessable Entity", "code": "validation_errors"}
            return web.json_response(details | {"error_details": faults}, status=422)
        self.accepted.update(each["transaction_id"] for each in events)
        return web.json_response({"events": events})


class StripeReceiver(BillingReceiver):
    """`POST /v1/billing/meter_events`: one event in a form; a repeat is 400, with or without a code.

    What Stripe only finds out after it has accepted an event, such as a value of too many digits, is in `dropped`.
    """

    path = "/v1/billing/meter_events"

    def __init__(self) -> None:
        super().__init__()
        self.dropped: list[str] = []
        self.busy: set[str] = set()
        self.conflicts = 0

    async def _take(self, request: web.Request) -> web.Response:
        """Take one request at a time for each customer."""
        form = await request.post()
        customer = str(form["payload[stripe_customer_id]"])
        if customer in self.busy:
            self.conflicts += 1
            return web.json_response({"error": {"code": "lock_timeout", "message": "in progress"}}, status=409)
        self.busy.add(customer)
        try:
            await asyncio.sleep(0)
            return await super()._take(request)
        finally:
            self.busy.discard(customer)

    def take(self, request: web.Request, text: str) -> web.Response:
        from urllib.parse import parse_qs

        form = {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
        age = time.time() - int(form["timestamp"])
        if request.content_type != "application/x-www-form-urlencoded" or not -300 <= age <= 35 * 86_400:
            return _stripe_error("timestamp_too_far_in_past", "The timestamp is out of range.")
        if form["identifier"] in self.accepted:
            known = f"An event already exists with identifier {form['identifier']}."
            return _stripe_error("duplicate_meter_event" if len(self.accepted) % 2 else None, known)
        if not form["event_name"] or len(form["identifier"]) > 100:
            return _stripe_error("invalid", "invalid")
        value = form["payload[value]"]
        if len(value.lstrip("-")) > 15 or not value.lstrip("-").isdecimal():
            self.dropped.append(form["identifier"])
        self.accepted[form["identifier"]] += 1
        self.values[form["identifier"]] = form
        return web.json_response({"object": "billing.meter_event", "identifier": form["identifier"]})


def _stripe_error(code: str | None, message: str) -> web.Response:
    error = {"type": "invalid_request_error", "message": message} | ({"code": code} if code else {})
    return web.json_response({"error": error}, status=400)


class NaapReceiver(BillingReceiver):
    """`POST /api/v1/metrics/ingest`: one window, last write wins; unknown fields are refused."""

    path = "/api/v1/metrics/ingest"

    def take(self, request: web.Request, text: str) -> web.Response:
        body = json.loads(text)
        known = {"providerSlug", "accountId", "appId", "window", "sessions", "tickets", "feeWei"}
        if set(body) - known - {"networkFeeUsdMicros", "byCapability"} or set(body["window"]) != {"from", "to"}:
            return web.json_response({"success": False, "error": {"code": "VALIDATION_ERROR"}}, status=400)
        if any(set(each) - {"tickets", "networkFeeUsdMicros"} for each in body.get("byCapability", {}).values()):
            return web.json_response({"success": False, "error": {"code": "VALIDATION_ERROR"}}, status=400)
        key = "|".join((body["providerSlug"], body["accountId"], body.get("appId", ""), *body["window"].values()))
        self.accepted[key] += 1
        self.values[key] = body
        return web.json_response({"success": True})
