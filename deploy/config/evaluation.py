"""The models of the block `evaluation` in deploy.yaml."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from deploy.config.strict_model import StrictModel
from deploy.core.entities import Bounds, Evaluation, EvaluationFlow

Number = Annotated[float, Field(allow_inf_nan=False)]


class BoundsModel(StrictModel):
    """The range that a metric must be in; at least one of the two."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _check_limits(self) -> BoundsModel:
        if self.min is None and self.max is None:
            raise ValueError("set min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min may not be above max")
        return self


def _parse_bounds(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"min": value}
    if not isinstance(value, (dict, BoundsModel)):
        raise ValueError("a number is expected, or {min: …, max: …}")
    return value


Threshold = Annotated[
    BoundsModel, BeforeValidator(_parse_bounds, json_schema_input_type=float | BoundsModel)
]
"""A number stands for the least that a metric may be."""


class EvaluationFlowModel(StrictModel):
    """A flow that judges each answer, and what its metrics must be."""

    inputs: dict[str, Any] = Field(
        {}, description="Where each input comes from: ${data.…}, ${run.outputs.…}, or a value."
    )
    init: dict[str, Any] = Field({}, description="What a flex flow's class is made with.")
    thresholds: dict[str, Threshold] = Field(
        {}, description="The least of each metric, or {min: …, max: …}."
    )


class EvaluationModel(StrictModel):
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

    def to_entity(self) -> Evaluation:
        """Return this block as an entity."""
        flows = {
            name: EvaluationFlow(
                flow.inputs,
                flow.init,
                {
                    metric: Bounds(bounds.min, bounds.max)
                    for metric, bounds in flow.thresholds.items()
                },
            )
            for name, flow in self.flows.items()
        }
        return Evaluation(self.data, self.inputs, flows, self.concurrency, self.timeout)
