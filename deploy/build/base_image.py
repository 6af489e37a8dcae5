"""The base image: an official one from a registry, or one made here from Debian packages."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
from docker.models.images import Image as DockerImage

from deploy import console, setup
from deploy.build import docker_build
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.model import ImageSettings

OFFICIAL = "python:{python}-slim-bookworm"
LOCK = "base.lock"
MADE = "flow-base"
RECIPE_LABEL = "flow-deploy.build.base_image"

# The Debian release that carries each Python (packages.debian.org, python3).
SUITES = {"3.11": "bookworm", "3.13": "trixie"}
PACKAGES = "{python}-minimal,lib{python}-stdlib,libstdc++6,libc-bin,tzdata,ca-certificates"
HOOK = Path(__file__).with_name("debian-base.sh")


@dataclass(frozen=True)
class Base:
    """A base image that the engine has: `reference` for people and labels, `id` to build on."""

    reference: str
    id: str

    @property
    def content(self) -> str:
        """What stands for the content: the same on every machine, if the base can be told by it."""
        by_content = "@" in self.reference or self.reference.startswith(f"{MADE}:")
        return self.reference if by_content else self.id


def pinned(settings: ImageSettings, root: Path) -> Base | None:
    """Return the base for `settings` if files alone tell its content: pinned by digest.

    It has no `id`: whether an engine has it is not asked.
    """
    wanted = settings.base or _pins(root).get(_key(settings))
    return Base(wanted, "") if wanted and "@" in wanted else None


def find(client: docker.DockerClient, settings: ImageSettings, root: Path) -> Base | None:
    """Return the base image for `settings` if the engine has it already. Asks no registry."""
    pinned = _pins(root).get(_key(settings))
    wanted = settings.base or pinned
    if wanted and (present := _local(client, wanted, settings.platform)):
        return Base(_digest(present, wanted), str(present.id))
    if settings.base:
        return None
    made = _made(client, settings)
    if made:
        newest = max(made, key=lambda image: str(image.attrs["Created"]))
        return Base(_made_tags(newest)[0], str(newest.id))
    return None


def ensure(client: docker.DockerClient, settings: ImageSettings, root: Path) -> Base:
    """Return the base image for `settings`; pull it, or make it, where the engine lacks it.

    A base that the configuration names must be had as it is. The official one is replaced by one
    made from Debian packages where it cannot be pulled. Raises `DeployError`.
    """
    with engine.explained("looking for the base image"):
        found = find(client, settings, root)
    if found:
        console.note("base", found.reference)
        return found
    return _get(client, settings, root, _pins(root).get(_key(settings)))


def refresh(client: docker.DockerClient, settings: ImageSettings, root: Path) -> Base:
    """Get the base again, with the security updates since; the old one stays until then."""
    before = [] if settings.base else _made(client, settings)
    found = _get(client, settings, root, None)
    for image in before:
        for tag in _made_tags(image):
            if tag != found.reference:
                client.images.remove(tag, noprune=True)
    return found


def _get(
    client: docker.DockerClient, settings: ImageSettings, root: Path, pinned: str | None
) -> Base:
    """Pull the base, or make it; pin the official one unless `pinned` says where it is."""
    wanted = settings.base or pinned or OFFICIAL.format(python=settings.python)
    try:
        with console.phase("base", f"pulling {wanted}"):
            image = client.images.pull(wanted, platform=settings.platform)
    except docker.errors.APIError as error:
        if settings.base:
            what = f"cannot be pulled: {error.explanation}"
            hint = "correct image.base, or log in"
            raise DeployError(f"base image {wanted}", what, hint) from None
        return _make(client, settings)
    reference = _digest(image, wanted)
    if not settings.base and not pinned:
        _pin(root, _key(settings), reference)
        console.note("base", f"pinned in {LOCK}: commit that file")
    return Base(reference, str(image.id))


def _make(client: docker.DockerClient, settings: ImageSettings) -> Base:
    suite = SUITES.get(settings.python)
    if suite is None:
        what = f"it cannot be pulled, and no Debian release carries Python {settings.python}"
        carried = " or ".join(SUITES)
        hint = f"set image.python to {carried}, or image.base to an image that can be pulled"
        raise DeployError("base image", what, hint)
    console.note("base", "no registry has it here: making one from Debian packages instead")
    setup.ensure_bootstrap()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "root.tar"
        with console.phase("base", f"Python {settings.python} from the packages of Debian {suite}"):
            _bootstrap(
                suite, settings, archive, settings.platform == engine.native_platform(client)
            )
        content = archive.read_bytes()
    # The tag is a hash of the content, so the same packages give the same tag on every machine.
    architecture = settings.platform.partition("/")[2]
    digest = hashlib.sha256(content).hexdigest()[:12]
    tag = f"{MADE}:python{settings.python}-{suite}-{architecture}-{digest}"
    recipe = (
        "FROM scratch\nADD root.tar /\n"
        "ENV PATH=/usr/local/bin:/usr/bin LANG=C.UTF-8\n"
        f"LABEL {RECIPE_LABEL}={_recipe(settings)}\n"
    )
    context = {"Dockerfile": recipe.encode(), "root.tar": content}
    with console.phase("base", f"importing {tag}"):
        return Base(tag, docker_build.by_engine(client, context, tag, settings.platform))


def _made(client: docker.DockerClient, settings: ImageSettings) -> list[DockerImage]:
    """Return the bases that were made here.

    Images built on them inherit the label, so the name counts too.
    """
    label = f"{RECIPE_LABEL}={_recipe(settings)}"
    return [
        image for image in client.images.list(MADE, filters={"label": label}) if _made_tags(image)
    ]


def _made_tags(image: DockerImage) -> list[str]:
    return [str(tag) for tag in image.tags if str(tag).startswith(f"{MADE}:")]


def _bootstrap(suite: str, settings: ImageSettings, archive: Path, native: bool) -> None:
    python = f"python{settings.python}"
    packages = PACKAGES.format(python=python)
    # Compiling runs the new interpreter: on another platform than the machine's it cannot.
    hook = f'{shlex.quote(str(HOOK))} "$1" {suite} {python} {"yes" if native else "no"}'
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--architectures={settings.platform.partition('/')[2]}",
        '--aptopt=APT::Install-Recommends "false"',
        f"--include={packages}",
        f"--extract-hook={hook}",
        suite,
        str(archive),
    ]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-5:])
        raise DeployError(
            "mmdebstrap", f"it failed:\n{last}", "is a mirror of Debian's packages reachable?"
        )


def _recipe(settings: ImageSettings) -> str:
    """Return the hash of how a base is made; a base made in another way is not used again."""
    text = f"{HOOK.read_text(encoding='utf-8')} {PACKAGES} {_key(settings)}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _key(settings: ImageSettings) -> str:
    return f"{settings.python} {settings.platform}"


def _pins(root: Path) -> dict[str, str]:
    """Return the pinned references by Python and platform."""
    path = root / LOCK
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {f"{row[0]} {row[1]}": row[2] for row in rows if len(row) == 3}


def _pin(root: Path, key: str, reference: str) -> None:
    _write_pins(root, {**_pins(root), key: reference})


def _write_pins(root: Path, pins: dict[str, str]) -> None:
    lines = [f"{key} {reference}\n" for key, reference in sorted(pins.items())]
    header = "# The official base images, pinned. `inv base --refresh` moves them on.\n"
    (root / LOCK).write_text(header + "".join(lines), encoding="utf-8")


def _local(client: docker.DockerClient, reference: str, platform: str) -> DockerImage | None:
    try:
        image = client.images.get(reference)
    except docker.errors.ImageNotFound:
        return None
    return image if f"{image.attrs['Os']}/{image.attrs['Architecture']}" == platform else None


def _digest(image: DockerImage, reference: str) -> str:
    """Return `reference` by digest where the image came from a registry."""
    if "@" in reference:
        return reference
    repository = reference.rsplit(":", 1)[0] if ":" in reference.rsplit("/", 1)[-1] else reference
    digests: list[str] = image.attrs.get("RepoDigests") or []
    found = [digest for digest in digests if digest.split("@")[0].endswith(repository)]
    return found[0] if found else reference
