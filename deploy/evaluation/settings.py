"""The block `evaluation` of deploy.yaml, as models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Number = Annotated[float, Field(allow_inf_nan=False)]


class Strict(BaseModel):
    """As that of `deploy.schema`, which imports this module."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Bounds(Strict):
    """Between what a metric must be; at least one of the two."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _some(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("say min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min may not be above max")
        return self


def _bounds(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"min": value}
    if not isinstance(value, (dict, Bounds)):
        raise ValueError("a number is expected, or {min: …, max: …}")
    return value


Threshold = Annotated[Bounds, BeforeValidator(_bounds, json_schema_input_type=float | Bounds)]
"""A number stands for the least that a metric may be."""


class EvaluationFlowModel(Strict):
    """A flow that judges each answer, and what its metrics must be."""

    inputs: dict[str, Any] = Field(
        {}, description="Where each input comes from: ${data.…}, ${run.outputs.…}, or a value."
    )
    init: dict[str, Any] = Field({}, description="What a flex flow's class is made with.")
    thresholds: dict[str, Threshold] = Field(
        {}, description="The least of each metric, or {min: …, max: …}."
    )


class EvaluationModel(Strict):
    """A flow's data set, and the flows that judge its answers (docs/evaluation.md)."""

    data: str = Field(description="A file with one JSON object a line, from the flow's folder.")
    inputs: dict[str, Any] = Field(
        {}, description="Where the flow's inputs come from, if not from columns of their names."
    )
    flows: dict[str, EvaluationFlowModel] = Field(
        min_length=1, description="Folders of evaluation flows, from the flow's folder."
    )
    concurrency: Annotated[int, Field(ge=1, le=100)] = Field(
        10, description="How many rows run at a time."
    )
    timeout: Annotated[int, Field(ge=1, le=86400)] = Field(
        1800, description="Seconds that all of it may take."
    )
