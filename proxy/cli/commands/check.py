"""`tollgate check`: validates the configuration."""

from __future__ import annotations

from collections.abc import Iterator

from config.loader import ConfigError, Problem, load
from config.plans import Billing, Plan
from config.settings import Settings
from config.workloads import TIMED, SaleUnit
from proxy.cli.inputs import history_problems
from proxy.cli.output import Json, print_json, print_one


def check(as_json: Json = False) -> None:
    """Validate the configuration; with --json, print all settings in effect, secrets hidden."""
    from proxy.control.payments.extra import payment_problems  # noqa: PLC0415
    from proxy.identity.provider.extra import provider_problems  # noqa: PLC0415
    from proxy.identity.siwe.extra import wallet_problems  # noqa: PLC0415
    from proxy.store.configured import address_problems  # noqa: PLC0415

    settings = load()
    problems = [*address_problems(settings), *history_problems(settings), *_key_sets(settings), *_holds(settings)]
    problems += [*wallet_problems(settings), *provider_problems(settings), *payment_problems(settings)]
    if problems:
        raise ConfigError(problems)
    if as_json:
        print_json({**settings.model_dump(mode="json", by_alias=True), "plans": _plans(settings)})
        return
    pools = settings.pools()
    print_one(
        {
            "listen": settings.listen,
            "admin_listen": settings.admin_listen,
            "store": "remote Redis" if settings.redis_url else f"embedded Redis in {settings.data_dir}",
            "history": "remote database" if settings.history_url else f"SQLite in {settings.data_dir}",
            "currency": f"{settings.currency.code}, {settings.currency.decimals} digits",
            "plans": sorted(settings.all_plans()),
            "pools": [
                f"{name} ({', '.join(gateway.url for gateway in pool.gateways)})" for name, pool in pools.items()
            ],
            "issuers": [issuer.issuer for issuer in settings.auth.issuers] or None,
        },
        as_json=False,
    )


def _plans(settings: Settings) -> dict[str, object]:
    plans = settings.all_plans()
    return {
        name: {"version": plan.version, **plan.model_dump(mode="json", by_alias=True)} for name, plan in plans.items()
    }


def _holds(settings: Settings) -> Iterator[Problem]:
    """Yield plans whose balances or caps do not bind, because requests are admitted that reserve nothing."""
    for name, plan in settings.plans.items():
        if not _spends_bounded_money(plan):
            continue
        if plan.holds.ceiling == 0:
            yield Problem(f"plans.{name}.holds.ceiling", "must be above 0: nothing is reserved, so that no limit binds")
        if plan.holds.default:
            continue
        for index, price in enumerate(plan.prices):
            if price.amount and price.unit in (SaleUnit.SECONDS, SaleUnit.MINUTES) and price.workload not in TIMED:
                what = price.workload or "every workload"
                yield Problem(
                    f"plans.{name}.holds.default",
                    f"must be above 0: prices.{index} sells `{price.unit}` of {what}, whose time has no upper bound "
                    "before it ends. Reserve what a long request costs, or let the price name a workload that has one: "
                    f"{', '.join(sorted(TIMED))}",
                )
                break


def _spends_bounded_money(plan: Plan) -> bool:
    """Return True if the plan is prepaid, or limits the money that is spent."""
    scopes = (plan.limits.key, plan.limits.user, plan.limits.app, plan.limits.everyone)
    capped = any(cap.unit is SaleUnit.AMOUNT and not cap.shadow for scope in scopes for cap in scope.caps)
    refused = any(each.unit is SaleUnit.AMOUNT and each.overage == "refuse" for each in plan.allowances)
    return plan.billing is Billing.CREDITS or capped or refused


def _key_sets(settings: Settings) -> Iterator[Problem]:
    """Yield what is wrong with key sets in files; those on the network are not fetched."""
    from middlewares.auth.jwks import usable_keys  # noqa: PLC0415

    for index, issuer in enumerate(settings.auth.issuers):
        path = f"auth.issuers.{index}.jwks_file"
        if issuer.jwks_file is None:
            continue
        try:
            usable_keys(issuer.jwks_file.read_bytes(), issuer.algorithms)
        except OSError as error:
            yield Problem(path, f"cannot be read: {error.strerror}")
        except ValueError as error:
            yield Problem(path, str(error))
