"""Install and compile a flow's locked packages for the image's platform and Python.

The results are kept by content: in a volume of the engine for programs that import the packages
(packing, evaluation), and in a local folder from which images are built.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from email.parser import HeaderParser
from pathlib import Path

import docker
import docker.errors

from deploy.build import cache, uv
from deploy.build.base_image import BaseImage
from deploy.core import progress
from deploy.core.errors import DeployError
from deploy.docker import engine, isolated, tar_files

FOLDER = "app/packages"
# Maximum size of a flow's packages with bytecode, in bytes.
MAX_BYTES = 16 * 2**30
# The oldest C library that wheels may require: that of Debian 10 and RHEL 8, so that most base
# images can be used (PEP 600).
WHEEL_PLATFORMS = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}
# Change this when packages are installed in another way, so that older results are not reused.
RECIPE_VERSION = "4"

# Paths without bytecode: tests, and large parts of packages that nearly every flow has and that are
# rarely imported. Python compiles modules among them that are imported, at each start.
BYTECODE_EXCLUDED = "|".join(
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
# Pages of promptflow's own server: 1.6 MB that our server does not use.
UNUSED_FOLDERS = ("promptflow/core/_serving/static",)


def ensure_volume(
    client: docker.DockerClient, native: BaseImage, lock: str, python: str, folder: str = FOLDER
) -> str:
    """Return the name of a volume with the compiled packages of `lock`, to mount at `folder`.

    The volume is for programs on the engine's own platform; `native` is a base for it. Raises
    `DeployError`.
    """
    digest = compute_key(lock, python, engine.native_platform(client), folder)
    name = f"flow-{Path(folder).name}-{digest}"
    # A volume exists before it is complete: this tag of the base marks complete volumes.
    repository = "flow-volume"
    with engine.translate_errors("looking for the packages"):
        try:
            client.volumes.get(name)
            client.images.get(f"{repository}:{digest}")
            return name
        except docker.errors.NotFound:
            pass
    archive = install_packages(lock, python, engine.native_platform(client), folder)
    with progress.phase("packages", f"compiling into the volume {name}"):
        operation = f"compiling {name}"
        isolated.fill_volume(
            client,
            native.id,
            create_compile_command(folder),
            archive,
            name,
            f"/{folder}",
            operation,
        )
        with engine.translate_errors(operation):
            client.images.get(native.id).tag(repository, digest)
    return name


def ensure_folder(
    client: docker.DockerClient, native: BaseImage, lock: str, python: str, platform: str
) -> Path:
    """Return a local folder with the compiled packages of `lock` for `platform`.

    Bytecode is the same on all platforms, so it is compiled on the engine's own platform, in
    `native`, without emulation. Do not change files in the folder. Raises `DeployError`.
    """
    entry = cache.get_entry("packages", compute_key(lock, python, platform, FOLDER))
    with entry.fill() as draft:
        if draft is None:
            return entry.path
        if platform == engine.native_platform(client):
            volumes = {ensure_volume(client, native, lock, python): f"/{FOLDER}"}
            command, archive = ["python3", "--version"], tar_files.pack({})
        else:
            volumes = {}
            command, archive = (
                create_compile_command(FOLDER),
                install_packages(lock, python, platform, FOLDER),
            )
        with progress.phase("packages", f"reading {entry.path.name}"):
            operation = f"compiling the packages for {platform}"
            compiled = isolated.run(
                client, native.id, command, archive, f"/{FOLDER}", {}, operation, volumes, MAX_BYTES
            )
            with compiled:
                tar_files.unpack(compiled, draft, operation)
    return entry.path


def install_packages(lock: str, python: str, platform: str, folder: str) -> bytes:
    """Return a tar archive of `folder` with the packages of `lock`.

    Raises `DeployError`.
    """
    with tempfile.TemporaryDirectory(prefix="flow-deploy-") as temporary:
        target = Path(temporary) / "packages"
        count = lock.count("==")
        message = f"installing {count} locked packages for Python {python}, {platform}"
        with progress.phase("packages", message):
            _run_install(lock, python, platform, target)
            return tar_files.pack({folder: target})


def create_compile_command(folder: str) -> list[str]:
    """Return the command that compiles the packages in `folder` to bytecode.

    The bytecode is unchecked: files of an image do not change, so Python need not compare them with
    their bytecode at each start.
    """
    command = ["python3", "-m", "compileall", "-q", "-j", "0", "-x", BYTECODE_EXCLUDED]
    return [*command, "--invalidation-mode", "unchecked-hash", f"/{folder}"]


def compute_key(*parts: str) -> str:
    """Return a hash over `parts` and the way packages are installed."""
    return hashlib.sha256(
        "\n".join([*parts, str(WHEEL_PLATFORMS), BYTECODE_EXCLUDED, RECIPE_VERSION]).encode()
    ).hexdigest()[:12]


def _run_install(lock: str, python: str, platform: str, target: Path) -> None:
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
            WHEEL_PLATFORMS[platform],
            "--link-mode",
            # From uv's cache, which nothing here writes to; uv copies if it cannot link.
            "hardlink",
        ]
        uv.run([*arguments, "-r", requirements.name], "installing the locked packages")
    _reject_local_wheels(target, platform)
    for leftover in ("bin", ".lock"):
        path = target / leftover
        if path.is_dir():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        path.unlink(missing_ok=True)
    for unused in UNUSED_FOLDERS:
        shutil.rmtree(target / unused, ignore_errors=True)


def _reject_local_wheels(target: Path, platform: str) -> None:
    """Raise `DeployError` if uv built a package into a wheel for this machine's platform.

    uv builds packages that are published as source only. A wheel of pure Python equals a published
    one, and uv keeps it; any other wheel runs at best on machines like this one.
    """
    local_builds = []
    for path in sorted(target.glob("*.dist-info/WHEEL")):
        tags = HeaderParser().parsestr(path.read_text(encoding="utf-8")).get_all("Tag") or []
        # Published wheels for Linux have the tags manylinux or musllinux; `linux_…` alone means
        # that uv built the wheel.
        if any(tag.rpartition("-")[2].startswith(("linux_", "macosx_", "win")) for tag in tags):
            local_builds.append(path.parent.name.removesuffix(".dist-info"))
    if local_builds:
        names = ", ".join(local_builds)
        message = f"published as source only, with parts to compile for {platform}: {names}"
        hint = "use a version that has a wheel, or publish one to your package index"
        raise DeployError("packages", message, hint)
