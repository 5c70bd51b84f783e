"""What every configuration model shares."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A strict, immutable piece of configuration: an unknown key is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=False)
