"""Leave out of a lock what promptflow asks for and serving never uses.

uv's overrides would do the same, for every package that asks: a flow that wants mlflow, say, would
lose mlflow's flask. So the lock is resolved in full, and pruned by what uv notes beside each
package: who asked for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Edges = Mapping[str, frozenset[str]]

# Who asks for what in vain, when a flow is served:
SERVING: Edges = {
    # The two servers of promptflow's own.
    "promptflow-core": frozenset({"fastapi", "flask"}),
    # tiktoken counts tokens, by tables that it downloads; openai is for flows that talk to a model,
    # and those ask for it themselves. What stands in for both is in deploy/runtime/stand_ins.
    "promptflow-tracing": frozenset({"openai", "tiktoken"}),
    "promptflow-tools": frozenset({"openai"}),
}
# … and when it is packed (deploy/build/pf_flow_build.py): the service that shows traces and
# chats, its database, and telemetry.
PACKING: Edges = {
    **SERVING,
    "promptflow-devkit": frozenset(
        {"azure-monitor-opentelemetry-exporter", "flask-cors", "flask-restx"}
        | {"pillow", "sqlalchemy", "waitress"}
    ),
}

_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==")
_ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)
# `# via name` on one line, or `# via` and then a line for each name.
_ASKED_BY = re.compile(r"^ +# (?:via |  )(\S.*)$", re.MULTILINE)


def prune(annotated: str, unneeded: Edges) -> str:
    """Return the lock `annotated` with neither comments nor what only `unneeded` edges lead to.

    `annotated` is what `uv pip compile` prints for a requirements file, its annotations included.
    """
    # One package may have an entry for each Python or system.
    entries = [(found[1], part) for part in _ENTRY.split(annotated) if (found := _NAME.match(part))]
    asked_by: dict[str, set[str]] = {}
    for name, entry in entries:
        asked_by.setdefault(name, set()).update(_ASKED_BY.findall(entry))
    # What no package asks for, a file does: `-r requirements.txt`.
    kept = {name for name, askers in asked_by.items() if askers - asked_by.keys()}
    size = -1
    while len(kept) != size:
        size = len(kept)
        kept |= {
            name
            for name, askers in asked_by.items()
            if any(name not in unneeded.get(asker, ()) for asker in askers & kept)
        }
    return "".join(_without_comments(entry) for name, entry in entries if name in kept)


def _without_comments(part: str) -> str:
    return "".join(
        line for line in part.splitlines(keepends=True) if not line.lstrip().startswith("#")
    )
