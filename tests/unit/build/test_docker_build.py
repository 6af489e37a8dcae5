"""The builder of an image, its arguments, and its errors."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.build import docker_build, dockerfile
from deploy.core.errors import DeployError
from deploy.docker import engine

ENDPOINT = engine.Endpoint("tcp://127.0.0.1:2375", "DOCKER_HOST")
DOCKER: Any = SimpleNamespace(version=lambda: {"Components": [{"Name": "Engine"}]})
PODMAN: Any = SimpleNamespace(version=lambda: {"Components": [{"Name": "Podman Engine"}]})

# What each `docker` command of a test says of itself; it writes down how it is called.
SCRIPT = """\
#!/bin/sh
echo "$@" >> "{log}"
case "$*" in
  *"buildx version"*) {buildx} ;;
  *"version --format"*) {version} ;;
  *build*) {build} ;;
esac
"""


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    docker_build._find_buildkit.cache_clear()
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)


def program(
    folder: Path, *, buildx: str = "", version: str = "28.2.2", build: str = "echo built"
) -> Path:
    """Write a `docker` command into `folder`; return the file that it logs its calls to."""
    folder.mkdir()
    log = folder / "log"
    text = SCRIPT.format(
        log=log,
        buildx=f"echo {buildx}" if buildx else "exit 1",
        version=f"echo {version}" if version else "exit 1",
        build=build,
    )
    (folder / "docker").write_text(text, encoding="utf-8")
    (folder / "docker").chmod(0o755)
    return log


def use(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, folders), os.environ["PATH"]]))


def test_buildx_builds_without_attestations_on_the_engine_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = program(tmp_path / "bin", buildx="github.com/docker/buildx v0.19.3 48d6a39")
    use(monkeypatch, tmp_path / "bin")
    found = docker_build.choose_builder(DOCKER, ENDPOINT)
    assert found.name == "BuildKit (buildx 0.19.3)"
    docker_build.build_with_command(found, ENDPOINT, tmp_path, "faq:1", "linux/arm64")
    *_, last = log.read_text(encoding="utf-8").splitlines()
    assert last == (
        f"{' '.join(ENDPOINT.command_line())} buildx build --load --provenance=false --sbom=false "
        f"--builder default --progress plain --platform linux/arm64 --tag faq:1 {tmp_path}"
    )


def test_an_old_command_has_buildkit_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", version="20.10.24+dfsg1")
    use(monkeypatch, tmp_path / "bin")
    assert docker_build.choose_builder(DOCKER, ENDPOINT).name == "BuildKit (docker 20.10.24+dfsg1)"


def test_a_later_docker_command_on_the_path_may_have_buildx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "first")
    program(tmp_path / "second", version="20.10.24")
    use(monkeypatch, tmp_path / "first", tmp_path / "second")
    found = docker_build.choose_builder(DOCKER, ENDPOINT)
    assert found.command[0] == str(tmp_path / "second/docker")


@pytest.mark.parametrize("reason", ["no buildx", "switched off", "old for the engine", "podman"])
def test_the_engine_builds_without_a_docker_command(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"old for the engine": "", "no buildx": "28.2.2"}
    program(tmp_path / "bin", version=texts.get(reason, "20.10.24"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/sbin{os.pathsep}/sbin")
    if reason == "switched off":
        monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    found = docker_build.choose_builder(PODMAN if reason == "podman" else DOCKER, ENDPOINT)
    assert found.command == ()
    assert found.name == ("podman" if reason == "podman" else "classic builder")


def test_a_failed_build_ends_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = "echo '#7 [2/3] COPY packages/ /app/packages/'; echo 'ERROR: failed to solve'; exit 1"
    program(tmp_path / "bin", version="20.10.24", build=fails)
    use(monkeypatch, tmp_path / "bin")
    found = docker_build.choose_builder(DOCKER, ENDPOINT)
    with pytest.raises(DeployError) as caught:
        docker_build.build_with_command(found, ENDPOINT, tmp_path, "faq:1", "linux/amd64")
    assert str(caught.value) == (
        "faq:1: the build failed:\n"
        "    #7 [2/3] COPY packages/ /app/packages/\n"
        "    ERROR: failed to solve"
    )


def test_the_dockerfile_is_short_and_runs_nothing() -> None:
    text = dockerfile.render(
        "python:3.11-slim-bookworm@sha256:1",
        {"bytecode": "/usr/local/lib/python3.11", "packages": "/app/packages", "app": "/app"},
        {"title": 'a "quoted" $name \\ here'},
    )
    assert text == (
        "FROM python:3.11-slim-bookworm@sha256:1\n"
        "COPY bytecode/ /usr/local/lib/python3.11/\n"
        "COPY packages/ /app/packages/\n"
        "COPY app/ /app/\n"
        'ENV PYTHONPATH="/app:/app/packages:/app/shims" \\\n'
        '    PYTHONDONTWRITEBYTECODE="1" \\\n'
        '    PYTHONUNBUFFERED="1" \\\n'
        '    MALLOC_MMAP_THRESHOLD_="65536" \\\n'
        '    MALLOC_TRIM_THRESHOLD_="131072" \\\n'
        '    HOME="/tmp" \\\n'
        '    PF_LOGGING_LEVEL="WARNING" \\\n'
        '    PF_TRACING_SKIP_LOCAL_SETUP="true"\n'
        'LABEL title="a \\"quoted\\" \\$name \\\\ here"\n'
        "WORKDIR /\n"
        "STOPSIGNAL SIGTERM\n"
        "HEALTHCHECK NONE\n"
        "USER 10001:10001\n"
        "EXPOSE 8080\n"
        "ENTRYPOINT []\n"
        'CMD ["python3", "-m", "flow_server.serve"]\n'
    )


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            'Head "https://registry-1.docker.io/v2/library/flow-base/manifests/python3.11"\n'
            "> [internal] load metadata for docker.io/library/flow-base:python3.11:",
            "the base image was removed at the same time; run this again",
        ),
        ("[internal] load metadata for docker.io/library/flow-base:python3.11: DONE", ""),
    ],
)
def test_the_hint_of_a_failed_build(line: str, hint: str) -> None:
    error = docker_build.BuildError("faq:1", line.splitlines())
    assert error.problems[0].hint == hint
