"""The settings of a blue/green deployment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypeVar

from deploy.config.schema import CloudSettings, PlaceModel
from deploy.core.entities import Spec


class BlueGreenSettings(CloudSettings):
    """The settings that a blue/green deployment needs."""

    # Seconds within which a version must be ready.
    start_timeout: Annotated[int, Field(ge=1)] = 300


BlueGreenT = TypeVar("BlueGreenT", bound=BlueGreenSettings, default=BlueGreenSettings)
BlueGreenSpec = Spec[BlueGreenSettings, PlaceModel]
