"""Examine the Python of a base image: run it once, and check that flows can run on it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import docker.errors
import requests
from docker.models.containers import Container
from docker.models.images import Image as DockerImage

from deploy.build import base_image_store, cache
from deploy.build.base_image import BaseImage
from deploy.core import atomic_file
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError, Problem
from deploy.docker import engine, isolated_container, tar_files

TIMEOUT_SECONDS = 60
# Folder of a flow's files in its image.
APP_PATH = PurePosixPath("/app")
# Modules that the server, promptflow's packing and packages with native code import.
MODULES = ("_ssl", "_sqlite3", "_ctypes", "zlib")
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
# The glibc version that installed wheels require (`packages.WHEEL_PLATFORMS`: manylinux_2_28).
MIN_GLIBC = (2, 28)
RESULT = "flow-interpreter.json"
MAX_RESULT_BYTES = 2**20
# The program must run on any Python 3, so that the error can name an old version.
PROBE = f"""
import importlib, importlib.util, json, os, platform, sys, sysconfig
libc, libc_version = "", ""
try:
    libc, _, libc_version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
except (ValueError, OSError):
    pass
suffix = sysconfig.get_config_var("EXT_SUFFIX") or ""
loaders = [name for name in os.listdir("/lib") if name.startswith("ld-musl-")]
if not libc and ("musl" in suffix or loaders):
    libc = "musl"
missing = []
for name in {MODULES!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        missing.append(name)
stdlib = sysconfig.get_path("stdlib")
often = ["os.py", "json/__init__.py", "asyncio/__init__.py", "email/__init__.py"]
often = [os.path.join(stdlib, name) for name in often]
found = dict(
    version="%d.%d" % sys.version_info[:2], machine=platform.machine(), libc=libc,
    libc_version=libc_version, ext_suffix=suffix, stdlib=stdlib,
    cache_tag=sys.implementation.cache_tag or "", missing=missing,
    compiled=all(os.path.exists(importlib.util.cache_from_source(name)) for name in often),
)
with open("/{RESULT}", "w") as file:
    json.dump(found, file)
"""


@dataclass(frozen=True)
class Interpreter:
    """The Python of a base image."""

    # Major and minor version: 3.11.
    version: str
    # x86_64 or aarch64.
    machine: str
    # glibc or musl, and its version, such as 2.36. Both are empty if the program could not run on
    # this machine.
    libc: str
    libc_version: str
    # Suffix of the file names of extension modules.
    ext_suffix: str
    # Folder of the standard library; empty if the program could not run on this machine.
    stdlib: str
    # Tag in the file names of bytecode: cpython-311.
    cache_tag: str
    # Whether the standard library has bytecode.
    compiled: bool
    # Number of layers of the base.
    layers: int


def examine(
    client: docker.DockerClient, base: BaseImage, settings: ImageSettings, native: bool
) -> Interpreter:
    """Return the Python of `base`; raise `DeployError` if flows cannot run on it.

    A base for another platform than the engine's (not `native`) cannot run on this machine: only
    its configuration is examined. The result is cached by the image's id, so each base runs only
    once.

    Raises:
        DeployError: One problem for each mismatch with `settings`.
    """
    with engine.translate_errors(f"examining the base image {base.reference}"):
        image = base_image_store.get(client, base.build_reference, settings.platform)
    problems = _check_image_config(image, base, settings)
    if problems:
        raise DeployError.from_problems(problems)
    layers = len((image.attrs.get("RootFS") or {}).get("Layers") or [])
    if not native:
        machine = MACHINES[settings.platform]
        cache_tag = f"cpython-{settings.python.replace('.', '')}"
        suffix = f".{cache_tag}-{machine}-linux-gnu.so"
        return Interpreter(
            settings.python, machine, "", "", suffix, "", cache_tag, compiled=False, layers=layers
        )
    facts = _read_cache(str(image.id))
    if facts is None:
        facts = _run_probe(client, image, base)
        _write_cache(str(image.id), facts)
    problems = _check_facts(facts, base, settings)
    if problems:
        raise DeployError.from_problems(problems)
    fields = {key: value for key, value in facts.items() if key != "missing"}
    return Interpreter(**fields, layers=layers)


def _check_image_config(
    image: DockerImage, base: BaseImage, settings: ImageSettings
) -> list[Problem]:
    """Return the problems in the configuration of a base image."""
    location, problems = _format_location(base), []
    platform = base_image_store.get_platform(image)
    if platform != settings.platform:
        message = (
            f"it is for {platform}, and {_format_origin(settings)} requires {settings.platform}"
        )
        hint = f"set image.platform: {platform}, or choose a base for {settings.platform}"
        problems.append(Problem(location, message, hint))
    config = image.attrs.get("Config") or {}
    hiding_volumes = sorted(path for path in config.get("Volumes") or {} if _is_hiding_app(path))
    if hiding_volumes:
        message = f"its volume {', '.join(hiding_volumes)} would hide the flow's files in /app"
        hint = "choose a base without that volume: no later layer can remove it"
        problems.append(Problem(location, message, hint))
    if config.get("OnBuild"):
        message = f"its ONBUILD triggers would run in the flow's build: {config['OnBuild'][0]}"
        problems.append(Problem(location, message, "choose a base without ONBUILD"))
    return problems


def _check_facts(
    facts: Mapping[str, Any], base: BaseImage, settings: ImageSettings
) -> list[Problem]:
    """Return the problems of a base image's Python."""
    location, problems = _format_location(base), []
    version, libc, libc_version = facts["version"], facts["libc"], facts["libc_version"]
    if version != settings.python:
        message = (
            f"it has Python {version}, and {_format_origin(settings)} requires {settings.python}"
        )
        hint = f'set image.python: "{version}", or choose a base with {settings.python}'
        problems.append(Problem(location, message, hint))
    machine = MACHINES[settings.platform]
    if facts["machine"] != machine:
        message = f"its Python runs on {facts['machine']}, and {settings.platform} is {machine}"
        problems.append(Problem(location, message, f"choose a base for {settings.platform}"))
    glibc = ".".join(str(number) for number in MIN_GLIBC)
    hint = f"choose a base with glibc {glibc} or newer, such as Debian 10 or RHEL 8 and later"
    if libc != "glibc":
        name = f"the C library {libc}" if libc else "an unknown C library"
        message = f"it has {name}, and wheels for glibc cannot run on it"
        problems.append(Problem(location, message, hint))
    elif _parse_version(libc_version) < MIN_GLIBC:
        message = f"it has glibc {libc_version}, and the wheels of packages need {glibc}"
        problems.append(Problem(location, message, hint))
    if missing := facts["missing"]:
        modules = "module" if len(missing) == 1 else "modules"
        message = f"its Python cannot import the {modules} {', '.join(missing)}"
        hint = "install the base's packages for the whole standard library, or choose another base"
        problems.append(Problem(location, message, hint))
    return problems


def _format_location(base: BaseImage) -> str:
    return f"base image {base.reference}"


def _format_origin(settings: ImageSettings) -> str:
    return settings.origin or "the configuration"


def _is_hiding_app(volume: str) -> bool:
    """Return whether a volume at this path hides files of the image below /app."""
    path = PurePosixPath("/") / volume
    return path.is_relative_to(APP_PATH) or APP_PATH.is_relative_to(path)


def _parse_version(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _run_probe(client: docker.DockerClient, image: DockerImage, base: BaseImage) -> dict[str, Any]:
    """Return the probe's result, from a container of the image without network and privileges."""
    operation = f"examining the base image {base.reference}"
    probe_command = ["python3", "-B", "-c", PROBE]
    with isolated_container.new_container(
        client, str(image.id), probe_command, operation, {}
    ) as container:
        _start_probe(container, base)
        return _read_result(container, base)


def _start_probe(container: Container, base: BaseImage) -> None:
    try:
        container.start()
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        # Messages of runc, and of crun, which podman uses.
        if re.search(r"executable file .*not found|stat .*no such file", text):
            message = "it has no python3 on its PATH"
            hint = "choose a base with Python, or set PATH in it to the folder of python3"
            raise DeployError(_format_location(base), message, hint) from None
        raise


def _read_result(container: Container, base: BaseImage) -> dict[str, Any]:
    try:
        exit_code = int(container.wait(timeout=TIMEOUT_SECONDS)["StatusCode"])
    except requests.exceptions.RequestException:
        message = f"its python3 did not end within {TIMEOUT_SECONDS} s"
        raise DeployError(
            _format_location(base), message, "try again, or choose another base"
        ) from None
    if exit_code:
        message = f"its python3 fails (exit code {exit_code}):\n{engine.log_tail(container, 5)}"
        raise DeployError(
            _format_location(base), message, "choose a base whose python3 is Python 3.10 or newer"
        )
    operation = f"examining the base image {base.reference}"
    with isolated_container.copy_archive(
        container, f"/{RESULT}", operation, MAX_RESULT_BYTES
    ) as archive:
        content = tar_files.read_file(archive, "", operation)
    facts: dict[str, Any] = json.loads(content or b"{}")
    return facts


def _get_cache_path(image_id: str) -> Path:
    """Return the path of the cached result for an image and this version of the probe."""
    probe = hashlib.sha256(PROBE.encode()).hexdigest()[:8]
    name = f"{image_id.rpartition(':')[2]}-{probe}.json"
    return cache.get_root() / "bases" / name


def _read_cache(image_id: str) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        facts: dict[str, Any] = json.loads(_get_cache_path(image_id).read_text(encoding="utf-8"))
        expected_keys = {*Interpreter.__dataclass_fields__, "missing"} - {"layers"}
        return facts if set(facts) == expected_keys else None
    return None


def _write_cache(image_id: str, facts: Mapping[str, Any]) -> None:
    """Cache the result for the next build; a home folder that is not writable is not an error."""
    path = _get_cache_path(image_id)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, json.dumps(facts), mode=0o600)
