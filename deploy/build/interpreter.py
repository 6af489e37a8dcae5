"""The Python of a base image: run it once, and compare it with what flows need."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import docker.errors
import requests
from docker.models.containers import Container
from docker.models.images import Image as DockerImage

from deploy.build import base_local, cache
from deploy.build.base_image import Base
from deploy.docker import engine, isolated_container, tar_files
from deploy.errors import DeployError, Problem
from deploy.model import ImageSettings

SECONDS = 60
# Where a flow's files are in its image.
APP = PurePosixPath("/app")
# What the server, promptflow's packing, and packages with a part in C load.
MODULES = ("_ssl", "_sqlite3", "_ctypes", "zlib")
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
# What the wheels that are installed ask for (`packages.WHEELS`: manylinux_2_28).
GLIBC = (2, 28)
RESULT = "flow-interpreter.json"
RESULT_BYTES = 2**20
# It must run on any Python 3, so that an old one can be named.
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

    # Major and minor: 3.11.
    version: str
    # x86_64 or aarch64.
    machine: str
    # glibc or musl, and its version: 2.36. Empty where the program could not run here.
    libc: str
    libc_version: str
    # What the file names of extension modules end with.
    ext_suffix: str
    # The folder of the standard library; empty where the program could not run here.
    stdlib: str
    # cpython-311, as in the names of bytecode.
    cache_tag: str
    # Whether the standard library has bytecode.
    compiled: bool
    # How many layers the base has.
    layers: int


def examine(
    client: docker.DockerClient, base: Base, settings: ImageSettings, native: bool
) -> Interpreter:
    """Return the Python of `base`, once it is known that flows can run on it.

    A base of another platform than the engine's (not `native`) cannot run here: of it only the
    configuration is examined. The result is kept by the image's id, so that each base runs once.

    Raises:
        DeployError: One sentence for each mismatch with `settings`.
    """
    with engine.explained(f"examining the base image {base.reference}"):
        image = base_local.get(client, base.source, settings.platform)
    problems = _mismatches_of_config(image, base, settings)
    if problems:
        raise DeployError.of(problems)
    layers = len((image.attrs.get("RootFS") or {}).get("Layers") or [])
    if not native:
        machine = MACHINES[settings.platform]
        cache_tag = f"cpython-{settings.python.replace('.', '')}"
        suffix = f".{cache_tag}-{machine}-linux-gnu.so"
        return Interpreter(
            settings.python, machine, "", "", suffix, "", cache_tag, compiled=False, layers=layers
        )
    facts = _cached(str(image.id))
    if facts is None:
        facts = _run(client, image, base)
        _keep(str(image.id), facts)
    problems = _mismatches(facts, base, settings)
    if problems:
        raise DeployError.of(problems)
    known = {key: value for key, value in facts.items() if key != "missing"}
    return Interpreter(**known, layers=layers)


def _mismatches_of_config(image: DockerImage, base: Base, settings: ImageSettings) -> list[Problem]:
    """Return what the configuration of a base alone tells against it."""
    where, problems = _where(base), []
    platform = base_local.platform_of(image)
    if platform != settings.platform:
        what = f"it is for {platform}, and {_source(settings)} asks for {settings.platform}"
        hint = f"set image.platform: {platform}, or choose a base for {settings.platform}"
        problems.append(Problem(where, what, hint))
    config = image.attrs.get("Config") or {}
    hiding = sorted(path for path in config.get("Volumes") or {} if _hides(path))
    if hiding:
        what = f"its volume {', '.join(hiding)} would hide the flow's files in /app"
        hint = "choose a base without that volume: no later layer can remove it"
        problems.append(Problem(where, what, hint))
    if config.get("OnBuild"):
        what = f"its ONBUILD triggers would run in the flow's build: {config['OnBuild'][0]}"
        problems.append(Problem(where, what, "choose a base without ONBUILD"))
    return problems


def _mismatches(facts: Mapping[str, Any], base: Base, settings: ImageSettings) -> list[Problem]:
    """Return what the Python of a base tells against it."""
    where, problems = _where(base), []
    version, libc, libc_version = facts["version"], facts["libc"], facts["libc_version"]
    if version != settings.python:
        what = f"it has Python {version}, and {_source(settings)} asks for {settings.python}"
        hint = f'set image.python: "{version}", or choose a base with {settings.python}'
        problems.append(Problem(where, what, hint))
    machine = MACHINES[settings.platform]
    if facts["machine"] != machine:
        what = f"its Python runs on {facts['machine']}, and {settings.platform} is {machine}"
        problems.append(Problem(where, what, f"choose a base for {settings.platform}"))
    glibc = ".".join(str(number) for number in GLIBC)
    hint = f"choose a base with glibc {glibc} or newer, such as Debian 10 or RHEL 8 and later"
    if libc != "glibc":
        name = f"the C library {libc}" if libc else "an unknown C library"
        what = f"it has {name}, and wheels for glibc cannot run on it"
        problems.append(Problem(where, what, hint))
    elif _numbers(libc_version) < GLIBC:
        what = f"it has glibc {libc_version}, and the wheels of packages need {glibc}"
        problems.append(Problem(where, what, hint))
    if missing := facts["missing"]:
        modules = "module" if len(missing) == 1 else "modules"
        what = f"its Python cannot import the {modules} {', '.join(missing)}"
        hint = "install the base's packages for the whole standard library, or choose another base"
        problems.append(Problem(where, what, hint))
    return problems


def _where(base: Base) -> str:
    return f"base image {base.reference}"


def _source(settings: ImageSettings) -> str:
    return settings.origin or "the configuration"


def _hides(volume: str) -> bool:
    """Return whether a volume at this path covers files of the image below /app."""
    path = PurePosixPath("/") / volume
    return path.is_relative_to(APP) or APP.is_relative_to(path)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _run(client: docker.DockerClient, image: DockerImage, base: Base) -> dict[str, Any]:
    """Run the probe in a container of the image, without network and rights."""
    doing = f"examining the base image {base.reference}"
    command = ["python3", "-B", "-c", PROBE]
    with isolated_container.new_container(client, str(image.id), command, doing, {}) as container:
        _start(container, base)
        return _result(container, base)


def _start(container: Container, base: Base) -> None:
    try:
        container.start()
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        # runc, and crun below podman.
        if re.search(r"executable file .*not found|stat .*no such file", text):
            what = "it has no python3 on its PATH"
            hint = "choose a base with Python, or set PATH in it to the folder of python3"
            raise DeployError(_where(base), what, hint) from None
        raise


def _result(container: Container, base: Base) -> dict[str, Any]:
    try:
        code = int(container.wait(timeout=SECONDS)["StatusCode"])
    except requests.exceptions.RequestException:
        what = f"its python3 did not end within {SECONDS} s"
        raise DeployError(_where(base), what, "try again, or choose another base") from None
    if code:
        what = f"its python3 fails (exit code {code}):\n{engine.log_tail(container, 5)}"
        raise DeployError(_where(base), what, "choose a base whose python3 is Python 3.10 or newer")
    doing = f"examining the base image {base.reference}"
    with isolated_container.take(container, f"/{RESULT}", doing, RESULT_BYTES) as archive:
        content = tar_files.read(archive, "", doing)
    facts: dict[str, Any] = json.loads(content or b"{}")
    return facts


def _cache(image_id: str) -> Path:
    """Return where the result for an image is; another probe has other results."""
    probe = hashlib.sha256(PROBE.encode()).hexdigest()[:8]
    name = f"{image_id.rpartition(':')[2]}-{probe}.json"
    return cache.root() / "bases" / name


def _cached(image_id: str) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        facts: dict[str, Any] = json.loads(_cache(image_id).read_text(encoding="utf-8"))
        known = {*Interpreter.__dataclass_fields__, "missing"} - {"layers"}
        return facts if set(facts) == known else None
    return None


def _keep(image_id: str, facts: Mapping[str, Any]) -> None:
    """Keep the result for the next build; a home folder that cannot be written is no failure."""
    path = _cache(image_id)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, delete=False, encoding="utf-8"
        ) as file:
            json.dump(facts, file)
        Path(file.name).replace(path)
