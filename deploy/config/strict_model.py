"""The base of all models of configuration files, and the type of variable names."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from deploy.server.connections import is_variable_name


class StrictModel(BaseModel):
    """A mapping that rejects unknown keys and does not convert values."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _check_variable_name(value: str) -> str:
    # The message must not quote the value: often the secret itself is here by mistake.
    if not is_variable_name(value):
        raise ValueError(
            "the name of an environment variable is expected, such as AZURE_OPENAI_API_KEY"
        )
    return value


VariableName = Annotated[
    str,
    AfterValidator(_check_variable_name),
    Field(json_schema_extra={"pattern": "^[A-Z][A-Z0-9_]*$"}),
]
"""The name of an environment variable, never its value."""
