"""What all models of the configuration files have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A mapping without unknown keys, whose values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
