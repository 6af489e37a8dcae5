"""A flow's locked packages for the image's platform and Python: installed, and compiled once.

They are kept by content: on a volume of the engine, where programs import them (packing,
evaluation), and in a folder of this machine, from which images are built.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from email.parser import HeaderParser
from pathlib import Path

import docker
import docker.errors

from deploy import console, uv_command
from deploy.build import cache
from deploy.build.base_image import Base
from deploy.docker import engine, isolated, tar_files
from deploy.errors import DeployError

FOLDER = "app/packages"
# The most that the packages of a flow may take, compiled.
MOST_BYTES = 16 * 2**30
# The oldest C library that wheels may ask for: that of Debian 10 and RHEL 8, so that most base
# images will do (PEP 600).
WHEELS = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}
# To be changed when packages are installed in another way, so that older results are not used.
RECIPE = "4"

# Bytecode is made for all but this: tests, and large parts of packages that nearly every flow has
# and hardly any imports. Python compiles what is imported of it, at each start.
RARE = "|".join(
    [
        "/tests?/",
        "/openai/(cli|resources|types)/(admin|beta|live|realtime)/",
        "/openai/resources/(audio|containers|evals|fine_tuning|skills|vector_stores|webhooks)/",
        r"/openai/lib/(beta|live)/|/openai/lib/(browser|computer|responses_\w+)[.]py",
        "/opentelemetry/semconv/_incubating/",
        "/promptflow/(azure|executor/_service|core/_serving/v[12])/",
        "/promptflow/core/_connection_provider/_models/",
        "/promptflow/executor/(_line_execution_process_pool|_process_manager)[.]py",
        "/promptflow/tools/open_model_llm[.]py",
        r"/pydantic/v1/|/pydantic/(_hypothesis_plugin|color|mypy|v1)[.]py",
    ]
)
# The pages of promptflow's own server: 1.6 MB that no other serves.
UNUSED = ("promptflow/core/_serving/static",)


def ensure_volume(
    client: docker.DockerClient, native: Base, lock: str, python: str, folder: str = FOLDER
) -> str:
    """Return the name of a volume with the compiled packages of `lock`, to mount at `folder`.

    For programs on the engine's own platform; `native` is a base for it. Raises `DeployError`.
    """
    digest = key(lock, python, engine.native_platform(client), folder)
    name = f"flow-{Path(folder).name}-{digest}"
    # A volume is there from its first file on: this tag of the base says that it is complete.
    repository = "flow-volume"
    with engine.explained("looking for the packages"):
        try:
            client.volumes.get(name)
            client.images.get(f"{repository}:{digest}")
            return name
        except docker.errors.NotFound:
            pass
    archive = install(lock, python, engine.native_platform(client), folder)
    with console.phase("packages", f"compiling into the volume {name}"):
        doing = f"compiling {name}"
        isolated.fill(client, native.id, compiling(folder), archive, name, f"/{folder}", doing)
        with engine.explained(doing):
            client.images.get(native.id).tag(repository, digest)
    return name


def ensure_folder(
    client: docker.DockerClient, native: Base, lock: str, python: str, platform: str
) -> Path:
    """Return a folder of this machine with the compiled packages of `lock` for `platform`.

    Bytecode is the same on all platforms, so it is compiled on the engine's own, in `native`, and
    needs no emulation. Nothing may be changed in the folder. Raises `DeployError`.
    """
    kept = cache.folder("packages", key(lock, python, platform, FOLDER))
    with kept.filling() as draft:
        if draft is None:
            return kept.path
        if platform == engine.native_platform(client):
            volumes = {ensure_volume(client, native, lock, python): f"/{FOLDER}"}
            command, archive = ["python3", "--version"], tar_files.pack({})
        else:
            volumes = {}
            command, archive = compiling(FOLDER), install(lock, python, platform, FOLDER)
        with console.phase("packages", f"reading {kept.path.name}"):
            doing = f"compiling the packages for {platform}"
            compiled = isolated.run(
                client, native.id, command, archive, f"/{FOLDER}", {}, doing, volumes, MOST_BYTES
            )
            with compiled:
                tar_files.unpack(compiled, draft, doing)
    return kept.path


def install(lock: str, python: str, platform: str, folder: str) -> bytes:
    """Return a tar archive of `folder` with the packages of `lock`.

    Raises `DeployError`.
    """
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as temporary:
        target = Path(temporary) / "packages"
        count = lock.count("==")
        what = f"installing {count} locked packages for Python {python}, {platform}"
        with console.phase("packages", what):
            _install(lock, python, platform, target)
            return tar_files.pack({folder: target})


def compiling(folder: str) -> list[str]:
    """Return the command that compiles the packages in `folder` to bytecode.

    Unchecked bytecode: nothing can change in an image, so nothing need be compared at each start.
    """
    command = ["python3", "-m", "compileall", "-q", "-j", "0", "-x", RARE]
    return [*command, "--invalidation-mode", "unchecked-hash", f"/{folder}"]


def key(*parts: str) -> str:
    """Return a hash over `parts` and how packages are installed."""
    return hashlib.sha256("\n".join([*parts, str(WHEELS), RARE, RECIPE]).encode()).hexdigest()[:12]


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
            # From uv's cache, which nothing here writes to; uv copies where it cannot link.
            "hardlink",
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
    for unused in UNUSED:
        shutil.rmtree(target / unused, ignore_errors=True)


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
