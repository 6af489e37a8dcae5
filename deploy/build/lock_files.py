"""Write and read lock files: the exact packages of an image, with hashes, without an index URL."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from deploy import kinds
from deploy.build import lock_pruning, uv
from deploy.core import yaml_files
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path
from deploy.server.connections import CONNECTION_TYPES, KEY_AUTH

REQUIREMENTS = "requirements.txt"
LOCK = "requirements.lock"
SERVER_REQUIREMENTS = Path(__file__).parents[1] / "server" / REQUIREMENTS
PACK_REQUIREMENTS = Path(__file__).with_name("pack.txt")
PACK_LOCK = Path(__file__).with_name("pack.lock")

# promptflow-tools requires all of promptflow, of which serving uses only a few names
# (deploy/server/shims). A flow that needs all of promptflow lists it in its requirements.txt.
DEVKIT_OVERRIDE = 'promptflow ; python_version < "0"\n'
# promptflow-devkit requires these for batch runs and traces; `pf flow build` imports neither.
DATA_FRAME_OVERRIDES = 'pandas ; python_version < "0"\ngitpython ; python_version < "0"\n'
_FULL_PROMPTFLOW = re.compile(r"^promptflow(-devkit)?\s*(\[.*\])?\s*([=<>!~;@]|$)", re.MULTILINE)
_CONTENT_HASH = re.compile(r"^# content: sha256:([0-9a-f]{64})$", re.MULTILINE)
_INPUTS_HASH = re.compile(r"^# inputs: sha256:([0-9a-f]{64})$", re.MULTILINE)


def write_lock(flow: Flow) -> Path:
    """Write the flow's requirements.lock and return its path.

    Queries the package index. Raises `DeployError`.
    """
    text = _collect_requirements(flow)
    overrides = "" if _FULL_PROMPTFLOW.search(text) else DEVKIT_OVERRIDE
    path = flow.folder / LOCK
    operation = f"locking {display_path(flow.folder)}"
    resolved = _resolve_requirements(text, overrides, flow.image.python, path, operation)
    # A flow that requires all of promptflow keeps all its dependencies.
    body = lock_pruning.prune(resolved, lock_pruning.UNUSED_WHEN_SERVING if overrides else {})
    _check_promptflow_version(flow, body)
    path.write_text(_format_lock(text, REQUIREMENTS, body), encoding="utf-8")
    return path


def write_pack_lock() -> Path:
    """Write the lock of the environment in which `pf flow build` runs; return its path.

    Maintainers run it after a change of pack.txt:
    `python -c "from deploy.build import lock_files; lock_files.write_pack_lock()"`.
    """
    text = PACK_REQUIREMENTS.read_text(encoding="utf-8")
    resolved = _resolve_requirements(
        text, DATA_FRAME_OVERRIDES, "3.10", PACK_LOCK, "locking deploy/build/pack.txt"
    )
    body = lock_pruning.prune(resolved, lock_pruning.UNUSED_WHEN_PACKING)
    PACK_LOCK.write_text(_format_lock(text, PACK_REQUIREMENTS.name, body), encoding="utf-8")
    return PACK_LOCK


def read(flow: Flow) -> str:
    """Return the requirements of the flow's lock, without comments.

    Raises `DeployError` if there is no lock, if requirements.txt changed after it was written, or
    if it was edited manually.
    """
    path = flow.folder / LOCK
    fix = f"run `inv lock --flow {flow.name}` and commit {LOCK}"
    text = _collect_requirements(flow)
    try:
        locked = yaml_files.read_text(path)
    except FileNotFoundError:
        raise DeployError(display_path(path), "there is no such file", fix) from None
    inputs_hash = _INPUTS_HASH.search(locked)
    if not inputs_hash or inputs_hash[1] != _hash_requirements(text):
        message = f"it is out of date with {REQUIREMENTS} (or with the server's requirements)"
        raise DeployError(display_path(path), message, fix)
    content = _CONTENT_HASH.search(locked)
    if not content or content[1] != _hash_requirements(strip_comments(locked)):
        raise DeployError(display_path(path), "it was edited manually", fix)
    return strip_comments(locked)


def strip_comments(locked: str) -> str:
    """Return the requirements of a lock without comments and empty lines."""
    lines = [
        line for line in locked.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    return "\n".join(lines) + "\n"


def _collect_requirements(flow: Flow) -> str:
    """Return all requirements of the image: of the flow, the server and the connections."""
    path = flow.folder / REQUIREMENTS
    try:
        parts = [_expand_includes(path), SERVER_REQUIREMENTS.read_text(encoding="utf-8")]
    except FileNotFoundError as error:
        missing = display_path(Path(error.filename))
        raise DeployError(
            missing, "there is no such file", "list the flow's packages in it"
        ) from None
    if any(
        CONNECTION_TYPES[declaration["type"]].identity and declaration.get("auth") != KEY_AUTH
        for declaration in flow.connections.values()
    ):
        parts.append("azure-identity>=1.19,<2\n")
        # If azure-identity is installed anyway, this adds 4 MB; without it, this would add 25 MB.
        parts.append("azure-monitor-opentelemetry-exporter>=1.0.0b45,<2\n")
    parts += [f"{requirement}\n" for requirement in kinds.get(flow.kind).extra_requirements(flow)]
    parts.append(f"# python {flow.image.python}\n")
    return "\n".join(parts)


def _expand_includes(path: Path, within: frozenset[Path] = frozenset()) -> str:
    """Return the requirements in `path`; each `-r other.txt` line becomes that file's content."""
    within |= {path.resolve()}
    lines = []
    for line in yaml_files.read_text(path).splitlines():
        included = re.match(r"^\s*(?:-r|--requirement)[ =]+(\S+)", line)
        if included and (path.parent / included[1]).resolve() in within:
            raise DeployError(
                display_path(path), f"{included[1]} includes itself", "remove that line"
            )
        lines.append(_expand_includes(path.parent / included[1], within) if included else line)
    return "\n".join(lines)


def _resolve_requirements(text: str, overrides: str, python: str, old: Path, operation: str) -> str:
    """Return uv's resolution of `text`; comments name the packages that require each package.

    uv needs a requirements file for these comments. It lies in the folder of the lock, so that
    relative paths in it are valid.
    """
    requirements, override_file = old.with_suffix(".locking"), old.with_suffix(".overrides")
    arguments = ["pip", "compile", requirements.name, "--universal", "--python-version", python]
    arguments += ["--generate-hashes", "--quiet", "--no-header", "--annotation-style", "split"]
    arguments += ["--no-emit-index-url", "--no-emit-find-links"]
    try:
        requirements.write_text(text, encoding="utf-8")
        if overrides:
            override_file.write_text(overrides, encoding="utf-8")
            arguments += ["--override", override_file.name]
        return uv.run(arguments, operation, cwd=old.parent)
    finally:
        requirements.unlink(missing_ok=True)
        override_file.unlink(missing_ok=True)


def _check_promptflow_version(flow: Flow, body: str) -> None:
    """Raise `DeployError` unless the flow is packed and served by the same promptflow version."""
    pattern = re.compile(r"^promptflow-core==([\w.]+)", re.MULTILINE)
    flow_match = pattern.search(body)
    pack_match = pattern.search(PACK_LOCK.read_text(encoding="utf-8"))
    if flow_match and pack_match and flow_match[1] != pack_match[1]:
        location = display_path(flow.folder / REQUIREMENTS)
        message = (
            f"it resolves to promptflow-core {flow_match[1]}, "
            f"but flows are packed with {pack_match[1]}"
        )
        raise DeployError(
            location,
            message,
            f"require promptflow-core=={pack_match[1]}, or change deploy/build/pack.txt",
        )


def _format_lock(text: str, source: str, body: str) -> str:
    return (
        f"# Made by `inv lock` from {source}; do not edit.\n"
        f"# inputs: sha256:{_hash_requirements(text)}\n# content: "
        f"sha256:{_hash_requirements(strip_comments(body))}\n{body}"
    )


def _hash_requirements(text: str) -> str:
    lines = [
        line.split("#")[0].strip() if "python " not in line else line for line in text.splitlines()
    ]
    return hashlib.sha256("\n".join(line for line in lines if line).encode()).hexdigest()
