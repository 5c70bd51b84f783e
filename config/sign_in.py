"""How developers sign in with a wallet, and who may sign up."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.base import Model, Name

SignUpPolicy = Literal["closed", "invite", "approve", "open"]
ChainId = Annotated[int, Field(ge=1, lt=2**63)]


class SignInSettings(Model):
    """Sign-in of developers with an Ethereum wallet (EIP-4361), at `/api/v1/auth/siwe/...`."""

    wallet: bool = Field(
        False, description='Whether wallets may sign in. Needs the extra: `pip install "naap-tollgate[wallet]"`.'
    )
    statement: str = Field(
        "Sign in to Tollgate.",
        pattern=r"^[A-Za-z0-9._~:/?#@!$&'()*+,;= \[\]-]+$",
        max_length=500,
        description="What wallets show their owner to sign; a message with another statement is refused.",
    )
    chain_ids: tuple[ChainId, ...] = Field(
        (1, 42_161), min_length=1, description="Chain ids that messages may name: Ethereum and Arbitrum One."
    )
    nonce_seconds: int = Field(300, ge=30, le=3_600, description="Seconds from a nonce to the sign-in that uses it.")
    nonces: int = Field(10_000, ge=100, le=1_000_000, description="Most nonces that wait to be used.")
    nonces_per_address: int = Field(
        20, ge=1, le=10_000, description="Most of them of one client address (IPv6: one /64 network)."
    )
    skew_seconds: int = Field(30, ge=0, le=300, description="Tolerated lead of a client's clock, in seconds.")
    session_seconds: int = Field(
        7 * 86_400, ge=300, le=90 * 86_400, description="Seconds after which a session ends, used or not."
    )


class SignUpSettings(Model):
    """What happens when somebody signs in, with a wallet or at the portal's provider, whom nobody knows."""

    policy: SignUpPolicy = Field(
        "closed",
        description="`closed`: it is refused, as only operators add developers. `invite`: it needs an invitation. "
        "`approve`: it waits for an operator. `open`: it gets an app on `plan`, as its owner.",
    )
    plan: Name | None = Field(None, description="Plan of apps that open sign-up creates.")
    per_day: int = Field(
        100, ge=1, le=1_000_000, description="Most people who sign up in a UTC day by `approve` and `open`."
    )

    @model_validator(mode="after")
    def _plan_for_open(self) -> Self:
        if self.policy == "open" and self.plan is None:
            raise ValueError("`open` needs the `plan` of the apps that it creates")
        return self

    def named_plans(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the names of plans, each with its path."""
        return [] if self.plan is None else [(("plan",), self.plan)]
