"""`docker build` of a folder: by BuildKit where the `docker` command can, by the engine else.

BuildKit sends only what changed of a context and needs a session with its client, which Docker's
SDK for Python does not have (docker-py, issue 2230): so the command is run. Without it, and on
podman, the engine's own builder gets the context through the SDK.
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

from deploy import console
from deploy.docker import engine, tar_files
from deploy.errors import DeployError

# Lines of a failed build that are shown.
LAST_LINES = 8
# The first version of the `docker` command that leaves BuildKit to the plugin buildx.
WITHOUT_BUILDKIT = 23
# No attestations: they would make the image an index, and the SBOM is attached after the push.
BUILDX_OPTIONS = ("--load", "--provenance=false", "--sbom=false", "--builder")


@dataclass(frozen=True)
class Builder:
    """A way to build: `name` for people; without `command` by the engine's API."""

    name: str
    command: tuple[str, ...] = ()


def choose(client: docker.DockerClient, endpoint: engine.Endpoint) -> Builder:
    """Return the best builder for the engine at `endpoint`."""
    if engine.kind(client) == "podman":
        return Builder("podman")
    # Docker's own variable to switch BuildKit off ("Build with BuildKit").
    if os.environ.get("DOCKER_BUILDKIT") != "0":
        for program in _programs(os.environ.get("PATH", "")):
            if found := _buildkit(program, endpoint):
                return found
    return Builder("classic builder")


def build(
    client: docker.DockerClient,
    endpoint: engine.Endpoint,
    context: Path,
    tag: str,
    platform: str,
) -> None:
    """Build the image `tag` of the folder `context`, whose base the engine has.

    Raises `DeployError` with the failing step and the last lines of the build's output. An image
    that had `tag` keeps it then.
    """
    builder = choose(client, endpoint)
    with console.phase("build", f"{tag} with {builder.name}") as phase:
        if builder.command:
            by_command(builder, endpoint, context, tag, platform, phase.now)
        else:
            by_engine(client, {".": context}, tag, platform, phase.now)


def by_command(
    builder: Builder,
    endpoint: engine.Endpoint,
    context: Path,
    tag: str,
    platform: str,
    show: Callable[[str], None] = lambda _: None,
) -> None:
    """Build the image `tag` of the folder `context` with a `docker` command, like `build`."""
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
            # An interruption of this process alone, as CI systems send it.
            process.terminate()
            raise
        if process.wait():
            raise DeployError(tag, f"the build failed:\n{_last(lines)}", _hint(lines))


class BuildError(DeployError):
    """A build that failed, with the lines that the engine's own builder printed."""

    def __init__(self, tag: str, lines: Sequence[str]) -> None:
        super().__init__(tag, f"the build failed:\n{_last(lines)}", _hint(lines))
        self.lines = tuple(lines)


def by_engine(
    client: docker.DockerClient,
    tree: Mapping[str, Path | bytes],
    tag: str,
    platform: str | None = None,
    show: Callable[[str], None] = lambda _: None,
    network: str = "none",
    arguments: Mapping[str, str] | None = None,
) -> str:
    """Build an image of the context `tree` with the engine's own builder; return its id.

    With a `network` (default, host) steps may give other results each time: none is reused.
    `arguments` are build arguments. Raises `BuildError`.
    """
    with tempfile.TemporaryFile() as stream, engine.explained(f"building {tag}"):
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
            # Those of ~/.docker/config.json may hold a password.
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


def _programs(path: str) -> Iterator[str]:
    """Yield each `docker` command of `path`: the first may lack a plugin that a later one has."""
    for folder in dict.fromkeys(path.split(os.pathsep)):
        program = Path(folder or ".") / "docker"
        if program.is_file() and os.access(program, os.X_OK):
            yield str(program)


@functools.cache
def _buildkit(program: str, endpoint: engine.Endpoint) -> Builder | None:
    """Return how `program` builds with BuildKit on the engine at `endpoint`, or None."""
    environment = endpoint.environment()
    command = (program, *endpoint.command_line())
    buildx = _output([*command, "buildx", "version"], environment)
    if buildx is not None:
        version = re.search(r"\d+\.\d+[\w.-]*", buildx)
        # The builder of the engine itself: another one has none of its images. Its name is that of
        # the context, which `--host` makes the default one.
        options = ("buildx", "build", *BUILDX_OPTIONS, "default", "--progress", "plain")
        name = f"BuildKit (buildx {version[0] if version else 'of unknown version'})"
        return Builder(name, (*command, *options))
    version_text = _output([*command, "version", "--format", "{{.Client.Version}}"], environment)
    major = re.match(r"\d+", version_text or "")
    if major and int(major[0]) < WITHOUT_BUILDKIT:
        name = f"BuildKit (docker {(version_text or '').strip()})"
        return Builder(name, (*command, "build", "--progress", "plain"))
    return None


def _output(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Return what `command` prints, or None where it fails."""
    try:
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _last(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in [line for line in lines if line][-LAST_LINES:])


def _hint(lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    if "no space left on device" in text:
        return engine.disk_hint()
    return ""
