"""A base image made here from Debian packages, for machines without a registry."""

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

from deploy import console, setup
from deploy.build import base_lock, docker_build
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.model import ImageSettings

MADE = "flow-base"
RECIPE_LABEL = "flow-deploy.build.base_image"

# The Debian release that carries each Python (packages.debian.org, python3).
SUITES = {"3.11": "bookworm", "3.13": "trixie"}
PACKAGES = "{python}-minimal,lib{python}-stdlib,libstdc++6,libc-bin,tzdata,ca-certificates"
HOOK = Path(__file__).with_name("debian-base.sh")
# Functions of both hooks.
PYTHON = Path(__file__).with_name("debian-python.sh")


def make(client: docker.DockerClient, settings: ImageSettings, reason: str) -> tuple[str, str]:
    """Make the base; return its tag and id. `reason` tells why none was pulled."""
    suite = suite_of(settings)
    console.note("base", f"{reason}: making one from Debian packages instead")
    setup.ensure_bootstrap()
    native = settings.platform == engine.native_platform(client)
    packages = PACKAGES.format(python=f"python{settings.python}")
    with console.phase("base", f"Python {settings.python} from the packages of Debian {suite}"):
        content = bootstrap(settings, "extract", packages, HOOK, native)
    # The tag is a hash of the content, so the same packages give the same tag on every machine.
    digest = hashlib.sha256(content).hexdigest()[:12]
    tag = f"{MADE}:python{settings.python}-{suite}-{architecture(settings)}-{digest}"
    for known in find(client, settings):
        # Nothing is newer: images that are built on it stay on it.
        if tag in engine.tags_of(known):
            return tag, str(known.id)
    return tag, load(client, settings, content, tag, {RECIPE_LABEL: _recipe(settings)})


def find(client: docker.DockerClient, settings: ImageSettings) -> list[DockerImage]:
    """Return the bases that were made here in this way, the newest first.

    Images built on them inherit the label, so the name counts too.
    """
    label = f"{RECIPE_LABEL}={_recipe(settings)}"
    return [image for image in engine.list_images(client, MADE, label) if tags(image)]


def tags(image: DockerImage) -> list[str]:
    """Return the tags by which `image` is a base that was made here."""
    return [tag for tag in engine.tags_of(image) if tag.startswith(f"{MADE}:")]


def suite_of(settings: ImageSettings) -> str:
    """Return the Debian release with the Python of `settings`. Raises `DeployError`."""
    suite = SUITES.get(settings.python)
    if suite is None:
        what = f"it cannot be pulled, and no Debian release carries Python {settings.python}"
        carried = " or ".join(SUITES)
        hint = f"set image.python to {carried}, or image.base to an image that can be pulled"
        raise DeployError("base image", what, hint)
    return suite


def architecture(settings: ImageSettings) -> str:
    """Return Debian's name of the platform's architecture."""
    return settings.platform.partition("/")[2]


def bootstrap(
    settings: ImageSettings, variant: str, packages: str, hook: Path, native: bool
) -> bytes:
    """Return the root of a system with `packages` that `hook` has trimmed, as a tar archive.

    Raises `DeployError` with the end of mmdebstrap's output.
    """
    suite = suite_of(settings)
    # Compiling runs the new interpreter: on another platform than the machine's it cannot.
    arguments = [suite, f"python{settings.python}", "yes" if native else "no"]
    # Before packages are configured, where they are only extracted.
    kind = "extract" if variant == "extract" else "customize"
    command = f'{shlex.quote(str(hook))} "$1" {shlex.join(arguments)}'
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "root.tar"
        arguments = [
            "mmdebstrap",
            f"--variant={variant}",
            f"--architectures={architecture(settings)}",
            '--aptopt=APT::Install-Recommends "false"',
            f"--include={packages}",
            f"--{kind}-hook={command}",
            suite,
            str(archive),
        ]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
        done = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return archive.read_bytes()
    raise DeployError(
        "mmdebstrap",
        f"it failed:\n{reasons(done.stderr)}",
        "is a mirror of Debian's packages reachable?",
    )


def reasons(output: str) -> str:
    """Return the errors in the output of mmdebstrap, indented; its last lines where it names none.

    Left out are its own, which repeat apt's whole command line.
    """
    lines = [line.strip() for line in output.replace("\r", "\n").splitlines() if line.strip()]
    own = re.compile(
        r"mmdebstrap failed to run|setup failed|apt-get .*failed$|download failed: E: "
    )
    errors = [line for line in lines if line.startswith("E: ") and not own.search(line)]
    return "\n".join(f"    {line}" for line in (errors or lines)[-5:])


def load(
    client: docker.DockerClient,
    settings: ImageSettings,
    content: bytes,
    tag: str,
    labels: dict[str, str],
    name: str = "",
) -> str:
    """Make an image of the archive `content`, with the environment of a base; return its id.

    `name` is for people, where `tag` is not the last one.
    """
    recipe = "FROM scratch\nADD root.tar /\nENV PATH=/usr/local/bin:/usr/bin LANG=C.UTF-8\n"
    recipe += "".join(f"LABEL {name}={value}\n" for name, value in labels.items())
    context = {"Dockerfile": recipe.encode(), "root.tar": content}
    with console.phase("base", f"importing {name or tag}"):
        return docker_build.by_engine(client, context, tag, settings.platform)


def _recipe(settings: ImageSettings) -> str:
    """Return the hash of how a base is made; a base made in another way is not used again."""
    text = f"{HOOK.read_text(encoding='utf-8')} {PACKAGES} {base_lock.key(settings)}"
    text = f"{PYTHON.read_text(encoding='utf-8')} {text}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
