"""Documents of a real image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deploy.core.entities import Attachment, Flow, Image
from deploy.docker.image_archive import ImageArchive
from deploy.supply_chain import provenance, sbom
from tests.projects import FIXTURE


@dataclass(frozen=True)
class InspectedImage:
    """An image with its files and its documents."""

    flow: Flow
    image: Image
    archive: ImageArchive
    documents: dict[str, Attachment]

    def read(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.documents[kind].content)
        return found


def documents(flow: Flow, image: Image, saved: ImageArchive) -> dict[str, Attachment]:
    made = [*sbom.make(saved, image), provenance.make(image, saved, flow, FIXTURE)]
    return {attachment.kind: attachment for attachment in made}
