"""The registry of an environment: where a flow's images are there, and which it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy import cloud, labels, wire
from deploy.errors import DeployError, Refusal
from deploy.model import Flow, Image
from deploy.registry import login, oci
from deploy.registry.oci import Manifest, Registry
from deploy.schema import PlaceModel


@dataclass(frozen=True)
class Remote:
    """A flow's repository in a registry."""

    registry: Registry
    repository: str

    @property
    def name(self) -> str:
        """The repository with its registry's address, as the engine and Azure want it."""
        return f"{self.registry.server}/{self.repository}"

    def find(self, flow: Flow, reference: str) -> Image | None:
        """Return the flow's image behind a content tag or a digest, or None.

        Raises `Refusal` where something else has the tag, or the digest is of something else.
        """
        manifest = self.registry.manifest(self.repository, reference)
        if manifest is None:
            return None
        config, digest = self._config(manifest, flow.image.platform)
        given: dict[str, str] = (config.get("config") or {}).get("Labels") or {}
        tag = given.get(labels.TAG, "")
        by_tag = not reference.startswith("sha256:")
        if given.get(labels.FLOW) != flow.name or (by_tag and tag != reference):
            what = f"{self.name}:{reference} is no image of the flow {flow.name} with this content"
            hint = "nothing is overwritten: remove that tag, or add a folder to `registry`"
            raise Refusal(self.registry.where, what, hint)
        return Image(
            repository=self.name,
            tag=tag,
            id=digest,
            platform=f"{config.get('os')}/{config.get('architecture')}",
            base=given.get(f"{labels.OCI}.base.name", ""),
            commit=given.get(f"{labels.OCI}.revision", ""),
            digest=manifest.digest,
        )

    def of_platform(self, manifest: Manifest, platform: str) -> dict[str, Any]:
        """Return the manifest of an image for `platform`: of an index the one of its images."""
        data = manifest.data
        if manifest.media_type in oci.INDEXES:
            part = _of_platform(data, platform, self.registry.where)
            inner = self.registry.manifest(self.repository, part)
            data = inner.data if inner else {}
        if not data.get("config"):
            what = f"{self.name}@{manifest.digest} is no image for {platform}"
            raise DeployError(self.registry.where, what, "push it again")
        return data

    def _config(self, manifest: Manifest, platform: str) -> tuple[dict[str, Any], str]:
        """Return the configuration of the image for `platform`, and its digest.

        An engine's id of the image is this digest
        too, unless the engine stores images in containerd: compare `ImageArchive.config_digest`.
        """
        data = self.of_platform(manifest, platform)
        digest = oci.named(data["config"], self.registry.where)
        blob = self.registry.blob(self.repository, digest)
        return wire.document(blob, self.registry.where), digest


def of(flow: str, place: PlaceModel, environment: str) -> Remote:
    """Return where images of `flow` are in `environment`.

    Raises `DeployError` where that has no registry.
    """
    if place.registry is None:
        what = "the environment has no registry"
        hint = "add `registry: ‹name›.azurecr.io` to it in environments.yaml"
        raise DeployError(f"--env {environment}", what, hint)
    server, _, folder = place.registry.partition("/")
    who = login.choose(server, place.registry_login, cloud.chosen(place.cloud))
    return Remote(Registry(server, who), f"{folder}/{flow}" if folder else flow)


def _of_platform(index: dict[str, Any], platform: str, where: str) -> str:
    found = []
    for entry in index.get("manifests") or ():
        given = entry.get("platform")
        # Without a platform, engines take that of the image's configuration.
        if not given or f"{given.get('os')}/{given.get('architecture')}" == platform:
            found.append(entry)
    if len(found) > 1:
        # By variants or versions of a system: which one runs is not for the registry to choose.
        what = f"an index has {len(found)} images that may be the one for {platform}"
        raise DeployError(where, what, "push it again")
    return oci.named(found[0], where) if found else "sha256:" + "0" * 64
