"""Make a base image locally from Debian packages, for machines without access to a registry."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import docker
from docker.models.images import Image as DockerImage

from deploy.build import base_lock, docker_build
from deploy.core import progress
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError, quote_last_lines
from deploy.docker import engine, installation

LOCAL_REPOSITORY = "flow-base"
RECIPE_LABEL = "flow-deploy.build.base_image"

# The Debian release with each Python version (packages.debian.org, python3).
SUITES = {"3.11": "bookworm", "3.13": "trixie"}
PACKAGES = "{python}-minimal,lib{python}-stdlib,libstdc++6,libc-bin,tzdata,ca-certificates"
HOOK_SCRIPT = Path(__file__).with_name("debian-base.sh")
# Functions that both hook scripts use.
PYTHON_SCRIPT = Path(__file__).with_name("debian-python.sh")


def make(client: docker.DockerClient, settings: ImageSettings, reason: str) -> tuple[str, str]:
    """Make the base; return its tag and id. `reason` explains why none was pulled."""
    suite = get_suite(settings)
    progress.note("base", f"{reason}: making one from Debian packages instead")
    installation.ensure_mmdebstrap()
    native = settings.platform == engine.native_platform(client)
    packages = PACKAGES.format(python=f"python{settings.python}")
    with progress.phase("base", f"Python {settings.python} from the packages of Debian {suite}"):
        content = bootstrap_root(settings, "extract", packages, HOOK_SCRIPT, native)
    # The tag is a hash of the content, so the same packages give the same tag on every machine.
    digest = hashlib.sha256(content).hexdigest()[:12]
    tag = (
        f"{LOCAL_REPOSITORY}:python{settings.python}-{suite}-{get_architecture(settings)}-{digest}"
    )
    for image in find(client, settings):
        # No package changed: keep the existing image, on which other images are built.
        if tag in engine.list_short_tags(image):
            return tag, str(image.id)
    return tag, import_image(client, settings, content, tag, {RECIPE_LABEL: _hash_recipe(settings)})


def find(client: docker.DockerClient, settings: ImageSettings) -> list[DockerImage]:
    """Return the bases that were made by this recipe, the newest first.

    Images built on them inherit the label, so the name counts, too.
    """
    label = f"{RECIPE_LABEL}={_hash_recipe(settings)}"
    return [
        image for image in engine.list_images(client, LOCAL_REPOSITORY, label) if list_tags(image)
    ]


def list_tags(image: DockerImage) -> list[str]:
    """Return the tags of `image` that name a base made locally."""
    return [tag for tag in engine.list_short_tags(image) if tag.startswith(f"{LOCAL_REPOSITORY}:")]


def get_suite(settings: ImageSettings) -> str:
    """Return the Debian release with the Python of `settings`. Raises `DeployError`."""
    suite = SUITES.get(settings.python)
    if suite is None:
        message = f"it cannot be pulled, and no Debian release has Python {settings.python}"
        available = " or ".join(SUITES)
        hint = f"set image.python to {available}, or image.base to an image that can be pulled"
        raise DeployError("base image", message, hint)
    return suite


def get_architecture(settings: ImageSettings) -> str:
    """Return Debian's name of the platform's architecture."""
    return settings.platform.partition("/")[2]


def bootstrap_root(
    settings: ImageSettings, variant: str, packages: str, hook: Path, native: bool
) -> bytes:
    """Return the root of a system with `packages`, trimmed by `hook`, as a tar archive.

    Raises `DeployError` with the end of mmdebstrap's output.
    """
    suite = get_suite(settings)
    # Compiling runs the new interpreter, which works only on the machine's own platform.
    arguments = [suite, f"python{settings.python}", "yes" if native else "no"]
    # The variant "extract" never configures packages, so its hook runs after the extraction.
    kind = "extract" if variant == "extract" else "customize"
    command = f'{shlex.quote(str(hook))} "$1" {shlex.join(arguments)}'
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "root.tar"
        arguments = [
            "mmdebstrap",
            f"--variant={variant}",
            f"--architectures={get_architecture(settings)}",
            '--aptopt=APT::Install-Recommends "false"',
            f"--include={packages}",
            f"--{kind}-hook={command}",
            suite,
            str(archive),
        ]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
        result = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode == 0:
            return archive.read_bytes()
    raise DeployError(
        "mmdebstrap",
        f"it failed:\n{extract_errors(result.stderr)}",
        "is a mirror of Debian's packages reachable?",
    )


def extract_errors(output: str) -> str:
    """Return the errors in mmdebstrap's output, indented, or its last lines if there are none.

    mmdebstrap's own messages, which repeat apt's whole command line, are left out.
    """
    lines = [line.strip() for line in output.replace("\r", "\n").splitlines() if line.strip()]
    own_messages = re.compile(
        r"mmdebstrap failed to run|setup failed|apt-get .*failed$|download failed: E: "
    )
    errors = [line for line in lines if line.startswith("E: ") and not own_messages.search(line)]
    return quote_last_lines(errors or lines, 5)


def import_image(
    client: docker.DockerClient,
    settings: ImageSettings,
    content: bytes,
    tag: str,
    labels: dict[str, str],
    name: str = "",
) -> str:
    """Make an image from the archive `content` with a base's environment; return its id.

    `name` is the name in the progress output if `tag` is only temporary.
    """
    recipe = "FROM scratch\nADD root.tar /\nENV PATH=/usr/local/bin:/usr/bin LANG=C.UTF-8\n"
    recipe += "".join(f"LABEL {name}={value}\n" for name, value in labels.items())
    context = {"Dockerfile": recipe.encode(), "root.tar": content}
    with progress.phase("base", f"importing {name or tag}"):
        return docker_build.build_with_engine(client, context, tag, settings.platform)


def _hash_recipe(settings: ImageSettings) -> str:
    """Return the hash of how a base is made; bases made in another way are not reused."""
    text = f"{HOOK_SCRIPT.read_text(encoding='utf-8')} {PACKAGES} {base_lock.format_key(settings)}"
    text = f"{PYTHON_SCRIPT.read_text(encoding='utf-8')} {text}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
