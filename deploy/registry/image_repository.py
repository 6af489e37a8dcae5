"""Find a flow's images in the registry of an environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.azure import clouds
from deploy.build import labels
from deploy.config.schema import PlaceModel
from deploy.config.target import AnySpec
from deploy.core import http_requests
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError, PlanBlocked
from deploy.registry import login, manifests
from deploy.registry.manifests import Manifest
from deploy.registry.oci import Registry


@dataclass(frozen=True)
class ImageRepository:
    """A flow's repository in a registry."""

    registry: Registry
    repository: str
    # The environment of the registry.
    place: PlaceModel

    @property
    def name(self) -> str:
        """Return the repository with its registry's address, as the engine and Azure require it."""
        return f"{self.registry.server}/{self.repository}"

    def get_manifest(self, reference: str) -> Manifest | None:
        """Return the manifest of a tag or digest, or None if there is none."""
        return self.registry.get_manifest(self.repository, reference)

    def list_referrers(self, digest: str) -> list[dict[str, Any]]:
        """Return the descriptors of the documents that refer to the manifest `digest`."""
        return self.registry.list_referrers(self.repository, digest)

    def find(self, flow: Flow, reference: str) -> Image | None:
        """Return the flow's image with a content tag or a digest, or None.

        Raises `PlanBlocked` if the tag or the digest belongs to something else.
        """
        manifest = self.get_manifest(reference)
        if manifest is None:
            return None
        config, digest = self._get_config(manifest, flow.image.platform)
        image_labels: dict[str, str] = (config.get("config") or {}).get("Labels") or {}
        tag = image_labels.get(labels.TAG, "")
        by_tag = not reference.startswith("sha256:")
        if image_labels.get(labels.FLOW) != flow.name or (by_tag and tag != reference):
            message = (
                f"{self.name}:{reference} is not an image of the flow {flow.name} with this content"
            )
            hint = "nothing was overwritten: delete that tag, or add a folder to `registry`"
            raise PlanBlocked(self.registry.where, message, hint)
        return Image(
            repository=self.name,
            tag=tag,
            id=digest,
            platform=f"{config.get('os')}/{config.get('architecture')}",
            base=image_labels.get(f"{labels.OCI_PREFIX}.base.name", ""),
            commit=image_labels.get(f"{labels.OCI_PREFIX}.revision", ""),
            digest=manifest.digest,
        )

    def get_platform_manifest(self, manifest: Manifest, platform: str) -> dict[str, Any]:
        """Return the image manifest for `platform`: `manifest`, or one that the index lists."""
        data = manifest.data
        if manifest.media_type in manifests.INDEX_TYPES:
            platform_digest = _find_platform_digest(data, platform, self.registry.where)
            platform_manifest = self.get_manifest(platform_digest)
            data = platform_manifest.data if platform_manifest else {}
        if not data.get("config"):
            message = f"{self.name}@{manifest.digest} is not an image for {platform}"
            raise DeployError(self.registry.where, message, "push the image again")
        return data

    def _get_config(self, manifest: Manifest, platform: str) -> tuple[dict[str, Any], str]:
        """Return the configuration of the image for `platform`, and its digest.

        This digest is also the engine's id of the image, unless the engine stores images in
        containerd: compare `ImageArchive.config_digest`.
        """
        data = self.get_platform_manifest(manifest, platform)
        digest = manifests.read_digest(data["config"], self.registry.where)
        blob = self.registry.get_blob(self.repository, digest)
        return http_requests.parse_json_object(blob, self.registry.where), digest


def open_repository(spec: AnySpec) -> ImageRepository:
    """Return the repository for images of the flow in the registry of its environment.

    Raises `DeployError` if the environment has no registry.
    """
    place: PlaceModel = spec.place
    if place.registry is None:
        message = "the environment has no registry"
        hint = "add `registry: ‹name›.azurecr.io` to it in environments.yaml"
        raise DeployError(f"--env {spec.environment}", message, hint)
    server, _, folder = place.registry.partition("/")
    credentials_source = login.choose_login(
        server, place.registry_login, clouds.resolve_cloud(place.cloud)
    )
    repository = f"{folder}/{spec.flow.name}" if folder else spec.flow.name
    return ImageRepository(Registry(server, credentials_source), repository, place)


def _find_platform_digest(index: dict[str, Any], platform: str, location: str) -> str:
    candidates = []
    for entry in index.get("manifests") or ():
        entry_platform = entry.get("platform")
        # If an entry has no platform, engines use that of the image's configuration.
        if (
            not entry_platform
            or f"{entry_platform.get('os')}/{entry_platform.get('architecture')}" == platform
        ):
            candidates.append(entry)
    if len(candidates) > 1:
        # The images differ by variant or OS version: which one runs is not known here.
        message = f"an index has {len(candidates)} images for {platform}"
        raise DeployError(location, message, "push the image again")
    return manifests.read_digest(candidates[0], location) if candidates else "sha256:" + "0" * 64
