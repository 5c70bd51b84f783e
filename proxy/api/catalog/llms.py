"""`/llms.txt`: what this origin offers, in Markdown for language models and the people who use them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from proxy.api.catalog.models import Catalog
from proxy.api.catalog.offer import Offer

PATH = "/llms.txt"
_HEAD = """\
# Tollgate

> An API for AI and video jobs on the Livepeer network. Requests are those of a go-livepeer gateway, with an API key.

Send the key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`. Refusals are problem documents (RFC 9457) with a
stable `code`. `POST /v1/chat/completions` and `GET /v1/models` take OpenAI clients.

## Reference

- [Client routes](/api/v1/data-openapi.json): OpenAPI of everything that is forwarded to gateways
- [Tollgate's own API](/api/v1/openapi.json): OpenAPI of users, keys, tokens and usage
- [Catalog](/api/v1/catalog): workloads, models, plans, prices, limits and what is available now{needs}
"""


def llms_text(catalog: Catalog, *, public: bool) -> str:
    """Return the text. Models and prices are in it only where the catalog is public."""
    lines = [_HEAD.format(needs="" if public else " (with a credential)"), "## Workloads\n"]
    for workload in catalog.workloads:
        paths = ", ".join(f"`{' '.join(each.methods)} {each.paths[0]}`" for each in workload.routes)
        models = f": {', '.join(workload.models)}" if public and workload.models else ""
        lines.append(f"- {workload.workload} ({paths}){models}")
    if public:
        lines += ["", "## Plans", ""]
        for plan in catalog.plans:
            prices = "; ".join(f"{each.workload or 'any work'}: {each.human}" for each in plan.prices)
            lines.append(f"- {plan.name} ({plan.billing}, tier {plan.tier}){': ' + prices if prices else ''}")
    return "\n".join(lines) + "\n"


def llms_route(offer: Offer) -> Route:
    """Return the route of the text, which needs no credential."""

    async def endpoint(_: Request) -> Response:
        text = llms_text(offer.catalog(), public=offer.public)
        return PlainTextResponse(text, media_type="text/markdown", headers={"cache-control": "public, max-age=60"})

    return Route(PATH, endpoint, methods=["GET"])
