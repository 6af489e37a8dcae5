"""Run `docker build`: with BuildKit if the `docker` command supports it, else with the engine.

BuildKit transfers only the changed files of a context. It needs a session with its client, which
Docker's SDK for Python does not have (docker-py, issue 2230), so the `docker` command is run.
Without BuildKit, and on podman, the engine's own builder gets the context through the SDK.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors

from deploy.core import progress
from deploy.core.errors import DeployError, quote_last_lines
from deploy.docker import engine, tar_files

# Number of lines of a failed build's output that are shown.
LAST_LINES = 8
# The first version of the `docker` command that delegates BuildKit to the plugin buildx.
FIRST_VERSION_WITHOUT_BUILDKIT = 23
# No attestations: they would make the image an index, and the SBOM is attached after the push.
BUILDX_OPTIONS = ("--load", "--provenance=false", "--sbom=false", "--builder")


@dataclass(frozen=True)
class Builder:
    """A program that builds images."""

    # Name for messages.
    name: str
    # Command to run; empty for a build through the engine's API.
    command: tuple[str, ...] = ()


def choose_builder(client: docker.DockerClient, endpoint: engine.Endpoint) -> Builder:
    """Return the best builder for the engine at `endpoint`."""
    if engine.detect_product(client) == "podman":
        return Builder("podman")
    # Docker's variable that turns BuildKit off ("Build with BuildKit").
    if os.environ.get("DOCKER_BUILDKIT") != "0":
        for program in _list_programs(os.environ.get("PATH", "")):
            if builder := _find_buildkit(program, endpoint):
                return builder
    return Builder("classic builder")


def build(
    client: docker.DockerClient,
    endpoint: engine.Endpoint,
    context: Path,
    tag: str,
    platform: str,
) -> None:
    """Build the image `tag` from the folder `context`; the engine must have its base.

    Raises `DeployError` with the failing step and the last lines of the build's output. If the
    build fails, an existing image `tag` keeps its tag.
    """
    builder = choose_builder(client, endpoint)
    with progress.phase("build", f"{tag} with {builder.name}") as phase:
        if builder.command:
            build_with_command(builder, endpoint, context, tag, platform, phase.update)
        else:
            build_with_engine(client, {".": context}, tag, platform, phase.update)


def build_with_command(
    builder: Builder,
    endpoint: engine.Endpoint,
    context: Path,
    tag: str,
    platform: str,
    show: Callable[[str], None] = lambda _: None,
) -> None:
    """Build the image `tag` from the folder `context` with a `docker` command, like `build`."""
    command = [*builder.command, "--platform", platform, "--tag", tag, str(context)]
    with subprocess.Popen(
        command,
        env={**endpoint.environment(), "DOCKER_BUILDKIT": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        lines = []
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if step := re.match(r"#\d+ (\[.+)", line):
                    show(step[1])
        except BaseException:
            # CI systems interrupt this process only, so the command is terminated here.
            process.terminate()
            raise
        if process.wait():
            raise DeployError(
                tag, f"the build failed:\n{quote_last_lines(lines, LAST_LINES)}", _find_hint(lines)
            )


class BuildError(DeployError):
    """A failed build, with the output of the engine's own builder."""

    def __init__(self, tag: str, lines: Sequence[str]) -> None:
        super().__init__(
            tag, f"the build failed:\n{quote_last_lines(lines, LAST_LINES)}", _find_hint(lines)
        )
        self.lines = tuple(lines)


def build_with_engine(
    client: docker.DockerClient,
    tree: Mapping[str, Path | bytes],
    tag: str,
    platform: str | None = None,
    show: Callable[[str], None] = lambda _: None,
    network: str = "none",
    arguments: Mapping[str, str] | None = None,
) -> str:
    """Build an image from the context `tree` with the engine's own builder; return its id.

    With a `network` (default, host), steps may give other results each time, so the cache is off.
    `arguments` are build arguments. Raises `BuildError`.
    """
    with tempfile.TemporaryFile() as stream, engine.translate_errors(f"building {tag}"):
        stream.write(tar_files.pack(tree))
        stream.seek(0)
        events = client.api.build(
            fileobj=stream,
            custom_context=True,
            tag=tag,
            platform=platform,
            network_mode=network,
            buildargs=dict(arguments or {}),
            nocache=network != "none",
            rm=True,
            forcerm=True,
            decode=True,
            # The proxies of ~/.docker/config.json may contain a password.
            use_config_proxy=False,
        )
        lines: list[str] = []
        for event in events:
            text = str(event.get("stream") or event.get("error") or "").strip()
            lines += text.splitlines()
            if text.startswith(("Step ", "STEP ")):
                show(text)
            if "error" in event:
                raise BuildError(tag, lines)
        return str(client.images.get(tag).id)


def _list_programs(path: str) -> Iterator[str]:
    """Yield each `docker` command on `path`: a later one may have a plugin that the first lacks."""
    for folder in dict.fromkeys(path.split(os.pathsep)):
        program = Path(folder or ".") / "docker"
        if program.is_file() and os.access(program, os.X_OK):
            yield str(program)


@functools.cache
def _find_buildkit(program: str, endpoint: engine.Endpoint) -> Builder | None:
    """Return the builder that runs BuildKit by `program` on the engine at `endpoint`, or None."""
    environment = endpoint.environment()
    client_command = (program, *endpoint.command_line())
    buildx = _read_output([*client_command, "buildx", "version"], environment)
    if buildx is not None:
        version = re.search(r"\d+\.\d+[\w.-]*", buildx)
        # Use the engine's own builder: others have none of its images. It has the name of the
        # Docker context, which `--host` makes the default one.
        options = ("buildx", "build", *BUILDX_OPTIONS, "default", "--progress", "plain")
        name = f"BuildKit (buildx {version[0] if version else 'of unknown version'})"
        return Builder(name, (*client_command, *options))
    version_text = _read_output(
        [*client_command, "version", "--format", "{{.Client.Version}}"], environment
    )
    major = re.match(r"\d+", version_text or "")
    if major and int(major[0]) < FIRST_VERSION_WITHOUT_BUILDKIT:
        name = f"BuildKit (docker {(version_text or '').strip()})"
        return Builder(name, (*client_command, "build", "--progress", "plain"))
    return None


def _read_output(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Return the output of `command`, or None if it fails."""
    try:
        result = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


def _find_hint(lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    if "no space left on device" in text:
        return engine.disk_hint()
    if "/library/flow-base/manifests/" in text:
        # The engine does not have it, and asks Docker Hub.
        return "the base image was removed at the same time; run this again"
    return ""
