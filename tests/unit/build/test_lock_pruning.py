"""Pruning of locks removes only the packages of unneeded edges."""

from __future__ import annotations

import pytest

from deploy.build import lock_pruning, package_flow

# As `uv pip compile --annotation-style split` prints it.
LOCK = """\
blinker==1.9.0 \\
    --hash=sha256:01
    # via flask
flask==3.1.3 \\
    --hash=sha256:02
    # via promptflow-core
greenlet==3.5.6 ; python_full_version < '3.11' \\
    --hash=sha256:03
    # via sqlalchemy
jsonschema==4.26.0 \\
    --hash=sha256:04
    # via promptflow-core
numpy==1.0 ; python_full_version < '3.11' \\
    --hash=sha256:05
    # via -r requirements.locking
numpy==2.0 ; python_full_version >= '3.11' \\
    --hash=sha256:06
    # via -r requirements.locking
promptflow-core==1.18.5 \\
    --hash=sha256:07
    # via -r requirements.locking
promptflow-tracing==1.18.5 \\
    --hash=sha256:08
    # via promptflow-core
regex==1.0 \\
    --hash=sha256:09
    # via
    #   promptflow-core
    #   tiktoken
sqlalchemy==2.0 \\
    --hash=sha256:10
    # via
    #   -r requirements.locking
    #   promptflow-devkit
tiktoken==0.14.0 \\
    --hash=sha256:11
    # via promptflow-tracing
"""


def names(lock: str) -> list[str]:
    return [line.split(" \\")[0] for line in lock.splitlines() if "==" in line]


def test_packages_of_unneeded_edges_are_removed() -> None:
    pruned = lock_pruning.prune(LOCK, lock_pruning.UNUSED_WHEN_SERVING)
    gone = set(names(LOCK)) - set(names(pruned))
    assert gone == {"blinker==1.9.0", "flask==3.1.3", "tiktoken==0.14.0"}
    assert pruned.count("--hash") == len(names(pruned))
    assert "#" not in pruned


def test_nothing_goes_without_unneeded_edges() -> None:
    assert names(lock_pruning.prune(LOCK, {})) == names(LOCK)


@pytest.mark.parametrize("asker", ["-r requirements.locking", "numpy"])
def test_required_packages_and_their_requirements_stay(asker: str) -> None:
    annotated = LOCK.replace(
        "    # via promptflow-core\ngreenlet",
        f"    # via\n    #   {asker}\n    #   promptflow-core\ngreenlet",
    )
    pruned = names(lock_pruning.prune(annotated, lock_pruning.UNUSED_WHEN_SERVING))
    assert {"blinker==1.9.0", "flask==3.1.3"} <= set(pruned)


def test_stubs_are_for_packages_missing_in_the_lock() -> None:
    every = package_flow.list_stubs("")
    assert {name.split("/")[0].split("-")[0] for name in every} == {"openai", "tiktoken"}
    # promptflow asks for openai's version.
    assert any(name.endswith("dist-info/METADATA") for name in every)
    some = package_flow.list_stubs("numpy==1.0\nopenai==3.54.0 \\\n")
    assert list(some) == ["tiktoken/__init__.py"]
