"""A flow's locked packages for the image's platform and Python, as an image of their own.

That image is the base with one more layer; a flow's image adds its small layers to it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from email.parser import HeaderParser
from pathlib import Path

import docker
import docker.errors

from deploy import console, docker_build, engine, uv_command
from deploy.base import Base
from deploy.errors import DeployError

FOLDER = "app/packages"
# The oldest C library that wheels may ask for: that of Debian 10 and RHEL 8, so that most base
# images will do (PEP 600).
WHEELS = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}
# To be changed when packages are installed in another way, so that images made before are not used.
RECIPE = "2"


def ensure(
    client: docker.DockerClient,
    base: Base,
    native: Base,
    lock: str,
    python: str,
    platform: str,
    folder: str = FOLDER,
) -> str:
    """Return the id of `base` with the packages of `lock` in `folder`; built once.

    `native` is the base for the engine's own platform, in which bytecode is compiled. Raises
    `DeployError`.
    """
    tag = f"flow-packages:{_key(base, lock, python, platform, folder)}"
    with engine.explained("looking for the packages image"):
        try:
            return str(client.images.get(tag).id)
        except docker.errors.ImageNotFound:
            pass
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as temporary:
        target = Path(temporary) / "packages"
        count = lock.count("==")
        what = f"installing {count} locked packages for Python {python}, {platform}"
        with console.phase("packages", what):
            _install(lock, python, platform, target)
        with console.phase("packages", f"compiling into {tag}"):
            recipe = _dockerfile(base, native, folder)
            return docker_build.build(client, {"Dockerfile": recipe, "packages": target}, tag)


def _dockerfile(base: Base, native: Base, folder: str) -> bytes:
    """Compile on the engine's own platform, which needs no emulation: bytecode is the same on all.

    Unchecked bytecode: nothing can change in an image, so nothing need be compared at each start.
    """
    command = ["python3", "-m", "compileall", "-q", "-j", "0", "-x", "/tests?/"]
    command += ["--invalidation-mode", "unchecked-hash", f"/{folder}"]
    compiled = f"FROM {native.id} AS compiled\nCOPY packages /{folder}\nRUN {json.dumps(command)}\n"
    if base.id == native.id:
        return compiled.encode()
    return f"{compiled}FROM {base.id}\nCOPY --from=compiled /{folder} /{folder}\n".encode()


def _key(base: Base, lock: str, python: str, platform: str, folder: str) -> str:
    parts = [base.content, lock, python, platform, folder, WHEELS[platform], RECIPE]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _install(lock: str, python: str, platform: str, target: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        requirements.write(lock)
        requirements.flush()
        arguments = [
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--target",
            str(target),
        ]
        arguments += [
            "--python-version",
            python,
            "--python-platform",
            WHEELS[platform],
            "--link-mode",
            "copy",
        ]
        uv_command.run([*arguments, "-r", requirements.name], "installing the locked packages")
    _refuse_foreign(target, platform)
    for leftover in ("bin", ".lock"):
        path = target / leftover
        if path.is_dir():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        path.unlink(missing_ok=True)


def _refuse_foreign(target: Path, platform: str) -> None:
    """Raise where a package was built here into a wheel for machines like this one only.

    uv builds what is published as source only. A wheel of pure Python is as good as a published
    one, and uv keeps it; any other runs at best on a machine like this one.
    """
    foreign = []
    for path in sorted(target.glob("*.dist-info/WHEEL")):
        tags = HeaderParser().parsestr(path.read_text(encoding="utf-8")).get_all("Tag") or []
        # Published wheels for Linux are manylinux or musllinux; `linux_…` alone means: built on the
        # spot.
        if any(tag.rpartition("-")[2].startswith(("linux_", "macosx_", "win")) for tag in tags):
            foreign.append(path.parent.name.removesuffix(".dist-info"))
    if foreign:
        names = ", ".join(foreign)
        what = f"published as source only, with parts to compile for {platform}: {names}"
        hint = "use a version that has a wheel, or publish one to your package index"
        raise DeployError("packages", what, hint)
