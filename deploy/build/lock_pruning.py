"""Remove packages from a lock that promptflow requires and serving never uses.

uv's overrides would remove them for every package that requires them: a flow with mlflow, for
example, would lose mlflow's flask. So the lock is resolved in full, then pruned by uv's comments,
which name the packages that require each package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

UnusedDependencies = Mapping[str, frozenset[str]]

# Unused requirements by the package that requires them, when a flow is served:
UNUSED_WHEN_SERVING: UnusedDependencies = {
    # promptflow's own two servers.
    "promptflow-core": frozenset({"fastapi", "flask"}),
    # tiktoken counts tokens by tables that it downloads; openai is for flows that call a model, and
    # those require it themselves. The stubs for both are in deploy/server/stubs.
    "promptflow-tracing": frozenset({"openai", "tiktoken"}),
    "promptflow-tools": frozenset({"openai"}),
}
# … and when it is packed (deploy/build/pf_flow_build.py): the service for traces and chats, its
# database, and telemetry.
UNUSED_WHEN_PACKING: UnusedDependencies = {
    **UNUSED_WHEN_SERVING,
    "promptflow-devkit": frozenset(
        {"azure-monitor-opentelemetry-exporter", "flask-cors", "flask-restx"}
        | {"pillow", "sqlalchemy", "waitress"}
    ),
}

_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==")
_ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)
# `# via name` on one line, or `# via` and then a line for each name.
_REQUIRED_BY = re.compile(r"^ +# (?:via |  )(\S.*)$", re.MULTILINE)


def prune(annotated: str, unneeded: UnusedDependencies) -> str:
    """Return the lock `annotated` without comments and what only `unneeded` edges lead to.

    `annotated` is the output of `uv pip compile` for a requirements file, comments included.
    """
    # A package may have several entries, one for each Python version or system.
    entries = [(match[1], part) for part in _ENTRY.split(annotated) if (match := _NAME.match(part))]
    required_by: dict[str, set[str]] = {}
    for name, entry in entries:
        required_by.setdefault(name, set()).update(_REQUIRED_BY.findall(entry))
    # Packages that no package requires are required by a file: `-r requirements.txt`.
    needed = {name for name, dependents in required_by.items() if dependents - required_by.keys()}
    size = -1
    while len(needed) != size:
        size = len(needed)
        needed |= {
            name
            for name, dependents in required_by.items()
            if any(name not in unneeded.get(dependent, ()) for dependent in dependents & needed)
        }
    return "".join(_strip_comments(entry) for name, entry in entries if name in needed)


def _strip_comments(part: str) -> str:
    return "".join(
        line for line in part.splitlines(keepends=True) if not line.lstrip().startswith("#")
    )
