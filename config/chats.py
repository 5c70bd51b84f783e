"""Settings of chats: what their runners take. A streamed chat that its runner refuses ends the gateway process."""

from typing import Annotated, Any, Literal

from pydantic import Field

from config.base import Model

RoleOrder = Literal["alternating", "any"]


class ChatRules(Model):
    """What a chat model and its runner take."""

    context_tokens: int = Field(
        8_192,
        ge=2,
        description="Tokens that prompt and `max_tokens` may have together. A byte can be a token, so every byte of "
        "the prompt counts as one. The default is the `MAX_MODEL_LEN` of a stock ai-runner.",
    )
    template_tokens: int = Field(
        64,
        ge=0,
        description="Tokens that the chat template may put before the messages, such as its default system message.",
    )
    roles: RoleOrder = Field(
        "alternating",
        description="Order of roles. `alternating`: at most one system message, the first; then user and assistant "
        "in turn, beginning with user, as the templates of Mistral and Llama 2 demand. `any`: every order passes, "
        "as with Llama 3.",
    )
    zero_top_p: bool = Field(False, description="Let `top_p` be 0, which vLLM refuses.")


class ChatModel(Model):
    """The same for one model; what is not named is as for all models."""

    context_tokens: Annotated[int, Field(ge=2)] | None = Field(None, description="Its `context_tokens`.")
    template_tokens: Annotated[int, Field(ge=0)] | None = Field(None, description="Its `template_tokens`.")
    roles: RoleOrder | None = Field(None, description="Its `roles`.")
    zero_top_p: bool | None = Field(None, description="Its `zero_top_p`.")


class Chats(ChatRules):
    """Limits of chats: one that its runner refuses in its event stream ends the gateway process."""

    models: dict[str, ChatModel] = Field({}, description="The same for single models, by model id.")

    def rules_of(self, model: str) -> ChatRules:
        """Return what a model takes."""
        own = self.models.get(model)
        if own is None:
            return self
        named: dict[str, Any] = own.model_dump(exclude_none=True)
        return self.model_copy(update=named)
