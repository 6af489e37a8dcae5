"""Lock files: what exactly goes into an image, with hashes, and no address of an index."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from deploy import documents, kinds, pruning, uv_command
from deploy.documents import show
from deploy.errors import DeployError
from deploy.model import Flow
from deploy.runtime.connections import KEY, TYPES

REQUIREMENTS = "requirements.txt"
LOCK = "requirements.lock"
RUNTIME = Path(__file__).parent / "runtime" / REQUIREMENTS
PACK_REQUIREMENTS = Path(__file__).with_name("pack.txt")
PACK_LOCK = Path(__file__).with_name("pack.lock")

# promptflow-tools asks for the whole of promptflow, of which serving uses a few names
# (deploy/runtime/shims). A flow that wants the whole says so in its requirements.txt.
WITHOUT_DEVKIT = 'promptflow ; python_version < "0"\n'
# promptflow-devkit asks for these for batch runs and traces; `pf flow build` imports neither.
WITHOUT_DATA_FRAMES = 'pandas ; python_version < "0"\ngitpython ; python_version < "0"\n'
_WHOLE = re.compile(r"^promptflow(-devkit)?\s*(\[.*\])?\s*([=<>!~;@]|$)", re.MULTILINE)
_CONTENT = re.compile(r"^# content: sha256:([0-9a-f]{64})$", re.MULTILINE)
_INPUTS = re.compile(r"^# inputs: sha256:([0-9a-f]{64})$", re.MULTILINE)


def lock(flow: Flow) -> Path:
    """Write the flow's requirements.lock anew and return its path.

    Asks the package index. Raises `DeployError`.
    """
    text = _requirements(flow)
    overrides = "" if _WHOLE.search(text) else WITHOUT_DEVKIT
    path = flow.folder / LOCK
    doing = f"locking {show(flow.folder)}"
    resolved = _compile(text, overrides, flow.image.python, path, doing)
    # A flow that wants the whole of promptflow gets the whole.
    body = pruning.prune(resolved, pruning.SERVING if overrides else {})
    _same_promptflow(flow, body)
    path.write_text(_lock_file(text, REQUIREMENTS, body), encoding="utf-8")
    return path


def lock_pack() -> Path:
    """Write the lock of the environment that `pf flow build` runs in.

    For the template's maintainers.
    """
    text = PACK_REQUIREMENTS.read_text(encoding="utf-8")
    resolved = _compile(text, WITHOUT_DATA_FRAMES, "3.10", PACK_LOCK, "locking deploy/pack.txt")
    body = pruning.prune(resolved, pruning.PACKING)
    PACK_LOCK.write_text(_lock_file(text, PACK_REQUIREMENTS.name, body), encoding="utf-8")
    return PACK_LOCK


def read(flow: Flow) -> str:
    """Return the requirements of the flow's lock, without comments.

    Raises `DeployError` where there is no lock, or where requirements.txt changed after it.
    """
    path = flow.folder / LOCK
    fix = f"run `inv lock --flow {flow.name}` and commit {LOCK}"
    text = _requirements(flow)
    try:
        locked = documents.read_text(path)
    except FileNotFoundError:
        raise DeployError(show(path), "there is no such file", fix) from None
    found = _INPUTS.search(locked)
    if not found or found[1] != _hash(text):
        what = f"it is out of date with {REQUIREMENTS} (or with what the runtime needs)"
        raise DeployError(show(path), what, fix)
    content = _CONTENT.search(locked)
    if not content or content[1] != _hash(body_of(locked)):
        raise DeployError(show(path), "it was changed by hand", fix)
    return body_of(locked)


def body_of(locked: str) -> str:
    """Return the lines of a lock that matter: comments and empty lines left out."""
    lines = [
        line for line in locked.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    return "\n".join(lines) + "\n"


def _requirements(flow: Flow) -> str:
    """Return all that the image needs: for the flow, for the server, for the connections."""
    path = flow.folder / REQUIREMENTS
    try:
        parts = [_with_included(path), RUNTIME.read_text(encoding="utf-8")]
    except FileNotFoundError as error:
        missing = show(Path(error.filename))
        raise DeployError(
            missing, "there is no such file", "list the flow's packages in it"
        ) from None
    if any(
        TYPES[declaration["type"]].identity and declaration.get("auth") != KEY
        for declaration in flow.connections.values()
    ):
        parts.append("azure-identity>=1.19,<2\n")
        # Where azure-identity is there this adds 4 MB; without, it would bring 25.
        parts.append("azure-monitor-opentelemetry-exporter>=1.0.0b45,<2\n")
    parts += [f"{asked}\n" for asked in kinds.get(flow.kind).asks(flow)]
    parts.append(f"# python {flow.image.python}\n")
    return "\n".join(parts)


def _with_included(path: Path, within: frozenset[Path] = frozenset()) -> str:
    """Return the requirements in `path`, those of `-r other.txt` lines in their place."""
    within |= {path.resolve()}
    lines = []
    for line in documents.read_text(path).splitlines():
        included = re.match(r"^\s*(?:-r|--requirement)[ =]+(\S+)", line)
        if included and (path.parent / included[1]).resolve() in within:
            raise DeployError(show(path), f"{included[1]} includes itself", "remove that line")
        lines.append(_with_included(path.parent / included[1], within) if included else line)
    return "\n".join(lines)


def _compile(text: str, overrides: str, python: str, old: Path, doing: str) -> str:
    """Return what uv resolves `text` to, with a note beside each package of who asked for it.

    The file of requirements is for those notes, and lies beside the lock since paths in it do.
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
        return uv_command.run(arguments, doing, cwd=old.parent)
    finally:
        requirements.unlink(missing_ok=True)
        override_file.unlink(missing_ok=True)


def _same_promptflow(flow: Flow, body: str) -> None:
    """Raise unless the flow is packed and served by one version of promptflow."""
    pattern = re.compile(r"^promptflow-core==([\w.]+)", re.MULTILINE)
    own = pattern.search(body)
    ours = pattern.search(PACK_LOCK.read_text(encoding="utf-8"))
    if own and ours and own[1] != ours[1]:
        where = show(flow.folder / REQUIREMENTS)
        what = f"it gives promptflow-core {own[1]}, and flows are packed with {ours[1]}"
        raise DeployError(
            where, what, f"write promptflow-core=={ours[1]}, or change deploy/pack.txt"
        )


def _lock_file(text: str, source: str, body: str) -> str:
    return (
        f"# Made by `inv lock` from {source}; do not edit.\n"
        f"# inputs: sha256:{_hash(text)}\n# content: sha256:{_hash(body_of(body))}\n{body}"
    )


def _hash(text: str) -> str:
    lines = [
        line.split("#")[0].strip() if "python " not in line else line for line in text.splitlines()
    ]
    return hashlib.sha256("\n".join(line for line in lines if line).encode()).hexdigest()
