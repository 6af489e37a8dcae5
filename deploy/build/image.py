"""Configuration and files → one image, built once for the same content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import docker
import docker.errors

from deploy import console, flow, kinds, labels, locks
from deploy.build import (
    base_image,
    context,
    docker_build,
    dockerfile,
    interpreter,
    metadata,
    package_flow,
    packages,
    server,
    standard_library,
)
from deploy.build.base_image import Base
from deploy.build.interpreter import Interpreter
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.model import Flow, Image, ImageSettings

# Where contexts are written, a folder for each flow, below the repository's root.
CONTEXTS = ".build"


@dataclass(frozen=True)
class Inputs:
    """All that determines an image.

    `tag` is a hash of it: the same inputs give the same tag on every machine.
    """

    flow: Flow
    tree: dict[str, Path]
    lock: str
    base: Base
    tag: str


def inputs(definition: Flow, found: Base, root: Path) -> Inputs:
    """Return what the image of `definition` on the base `found` is made of.

    Raises `DeployError` for a stale lock.
    """
    tree = flow.files(definition, root)
    lock = locks.read(definition)
    kind = kinds.get(definition.kind)
    parts = [
        flow.fingerprint(tree),
        lock,
        flow.fingerprint(package_flow.server(kind, lock)),
        locks.body_of(locks.PACK_LOCK.read_text(encoding="utf-8")) if kind.promptflow else "",
        package_flow.DRIVER.read_text(encoding="utf-8"),
        json.dumps(_declared(definition), sort_keys=True),
        dockerfile.render(found.content, {"packages": packages.FOLDER}, {}),
        found.content,
        packages.RECIPE,
        definition.image.python,
        definition.image.platform,
    ]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return Inputs(definition, tree, lock, found, digest[:12])


def find(client: docker.DockerClient, made_of: Inputs) -> Image | None:
    """Return the image of these inputs if the engine has it."""
    repository = made_of.flow.name
    with engine.explained("looking for the image"):
        try:
            found = client.images.get(f"{repository}:{made_of.tag}")
        except docker.errors.ImageNotFound:
            return None
    given = found.labels or {}
    if given.get(labels.TAG) != made_of.tag:
        # Somebody else's image by the same name.
        return None
    return Image(
        repository=repository,
        tag=made_of.tag,
        id=str(found.id),
        platform=made_of.flow.image.platform,
        base=given.get(f"{labels.OCI}.base.name", ""),
        commit=given.get(f"{labels.OCI}.revision", ""),
    )


def check(definition: Flow, root: Path) -> None:
    """Raise `DeployError` for what is wrong with the flow's files: at once, without an engine."""
    tree = flow.files(definition, root)
    flow.check_syntax(definition, tree)
    flow.check_connections(definition)
    flow.check_packages(definition, locks.read(definition))


def build(
    client: docker.DockerClient,
    definition: Flow,
    root: Path,
    endpoint: engine.Endpoint,
    folder: Path | None = None,
) -> Image:
    """Return the image of `definition`, built only where the engine does not have it yet.

    The context is written to `folder`, or below `root`; to a `folder` that is given also where
    nothing is built. Raises `DeployError`; an image that was there before is left as it is.
    """
    made_of = inputs(definition, base_image.ensure(client, definition.image, root), root)
    existing = find(client, made_of)
    if existing and not folder:
        console.note("build", f"unchanged: {existing.reference}")
        return existing
    written = prepare(client, made_of, root, endpoint, folder)
    if existing:
        console.note("build", f"unchanged: {existing.reference}")
        return existing
    reference = f"{definition.name}:{made_of.tag}"
    docker_build.build(client, endpoint, written, reference, definition.image.platform)
    built = find(client, made_of)
    if built is None:
        raise DeployError(
            reference, "the engine lost the image that it has just built", "try again"
        )
    return built


def prepare(
    client: docker.DockerClient,
    made_of: Inputs,
    root: Path,
    endpoint: engine.Endpoint,
    folder: Path | None = None,
) -> Path:
    """Write the context of `docker build`: a Dockerfile and its files; return its folder.

    Raises `DeployError`; a context that was there before is left as it is then.
    """
    definition, python = made_of.flow, made_of.flow.image.python
    native, native_python = _native(client, made_of, root)
    base, base_python = made_of.base, native_python
    if native != base:
        # Again: on the classic image store, getting the other one may have taken its name.
        base = base_image.ensure(client, definition.image, root)
        base_python = interpreter.examine(client, base, definition.image, native=False)
    compiled = packages.ensure_folder(
        client, native, made_of.lock, python, definition.image.platform
    )
    library = standard_library.ensure(client, native, native_python)
    served = server.ensure(client, native, kinds.get(definition.kind), made_of.lock)
    folders = {"packages": (compiled, f"/{packages.FOLDER}")}
    # Of one index or one image the Python is the same for each platform. Elsewhere it may be
    # another version, which compiles its library at each start.
    if library and base.content == native.content:
        folders = {"bytecode": (library.folder, library.path), **folders}
    target = folder or root / CONTEXTS / definition.name
    with context.writing(target) as draft, ThreadPoolExecutor(1) as pool:
        # Meanwhile packing waits for its container.
        links = [
            pool.submit(context.link, source, draft / name) for name, (source, _) in folders.items()
        ]
        # Copied, not linked: people change files of a context to try things out.
        shutil.copytree(served, draft / "app")
        packed = draft / "app" / package_flow.FLOW
        package_flow.pack(client, definition, made_of.tree, made_of.lock, native, packed, library)
        for link in links:
            link.result()
        builder = docker_build.choose(client, endpoint).name
        built_with = metadata.of_build(client, definition, base, base_python.layers, builder)
        revision = commit(root)
        about = _about(made_of, revision) | {"built_with": built_with}
        context.write(draft / "app/about.json", json.dumps(about, indent=2))
        copies = {name: path for name, (_, path) in folders.items()}
        copies["app"] = f"/{dockerfile.HOME}"
        text = dockerfile.render(base.source, copies, _labels(made_of, revision, root))
        context.write(draft / "Dockerfile", text)
        context.check_size(draft, definition)
    return target


def _native(client: docker.DockerClient, made_of: Inputs, root: Path) -> tuple[Base, Interpreter]:
    """Return the base for the engine's own platform, and its Python.

    Raises `DeployError` where flows cannot run on it.
    """
    settings = replace(made_of.flow.image, platform=engine.native_platform(client))
    base = native_base(client, made_of.flow.image, made_of.base, root)
    return base, interpreter.examine(client, base, settings, native=True)


def commit(root: Path) -> str:
    """Return the commit that is checked out, with `-dirty` where files differ from it.

    Empty outside of git.
    """
    head = _git(root, "rev-parse", "HEAD")
    # Files that git does not know count too: the flow may be one of them.
    return f"{head}-dirty" if head and _git(root, "status", "--porcelain") else head


def _git(root: Path, *arguments: str) -> str:
    """Return what git prints; nothing where there is no git, or no repository."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def native_base(
    client: docker.DockerClient, settings: ImageSettings, chosen: Base, root: Path
) -> Base:
    """Return the base for the engine's own platform: what packs and compiles must run on it."""
    native = engine.native_platform(client)
    if settings.platform == native:
        return chosen
    return base_image.ensure(client, replace(settings, platform=native), root)


def _about(made_of: Inputs, revision: str) -> dict[str, object]:
    """Return what the server and people read about the image: about.json."""
    names = {"flow": made_of.flow.name, "tag": made_of.tag, "commit": revision}
    return {**names, **_declared(made_of.flow)}


def _declared(definition: Flow) -> dict[str, object]:
    """Return what deploy.yaml says that the container must know: no value, and no secret."""
    return {
        "kind": definition.kind,
        "scorer": kinds.get(definition.kind).scorer,
        "entry": definition.entry,
        "connections": {name: dict(value) for name, value in definition.connections.items()},
        "init": dict(definition.init),
        "pictures": {
            "urls": list(definition.pictures.urls),
            "private": definition.pictures.private,
        },
    }


def _labels(made_of: Inputs, revision: str, root: Path) -> dict[str, str]:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    created = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    made = {
        f"{labels.OCI}.title": made_of.flow.name,
        f"{labels.OCI}.version": made_of.tag,
        f"{labels.OCI}.created": created.isoformat(timespec="seconds"),
        f"{labels.OCI}.revision": revision,
        f"{labels.OCI}.source": _source(root),
        f"{labels.OCI}.base.name": made_of.base.reference,
        labels.FLOW: made_of.flow.name,
        labels.TAG: made_of.tag,
    }
    return {key: value for key, value in made.items() if value}


def _source(root: Path) -> str:
    """Return the address of the git remote without any credentials in it."""
    address = _git(root, "config", "--get", "remote.origin.url")
    scheme, separator, rest = address.partition("://")
    if not separator:
        # A path of this machine is nobody's business; `git@host:owner/name` is an address.
        return address if "@" in address else ""
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme != "file" else ""
