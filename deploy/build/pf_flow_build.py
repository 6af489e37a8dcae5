"""Runs in the sandbox: `pf flow build` of one flow, then bytecode for it.

Not imported by the rest of `deploy`. Arguments: `pf`, or `copy` for a flow that promptflow does not
know; the flow's source; the folder for the result.
Prints one line and ends with status 1 where the flow cannot be packed.
"""

from __future__ import annotations

import compileall
import gc
import importlib.abc
import importlib.machinery
import logging
import os
import py_compile
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PACKAGES = Path("/app/packages")


def _same(argument: object = None, *_: object, **__: object) -> object:
    """Do nothing, as a function and as a decorator."""
    return argument


def _handler(**_: object) -> logging.Handler:
    return logging.NullHandler()


# Modules of promptflow-devkit that it imports and that building a flow does not use: the database
# of runs, the service that shows traces, telemetry. With what they import, they are a third of all.
# Each stands here with what its names are.
ABSENT: dict[str, Callable[..., object]] = {
    "promptflow._sdk._orm": _same,
    "promptflow._sdk._service": _same,
    "promptflow._sdk._telemetry.logging_handler": _handler,
    "promptflow._cli._pf._service": _same,
    # The Flask server, of promptflow-core.
    "promptflow.core._serving.v1": _same,
}


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds empty modules in place of those in `ABSENT` and of all below them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a module that `exec_module` fills, or None for the next finder."""
        if any(f"{name}.".startswith(f"{absent}.") for absent in ABSENT):
            return ModuleSpec(name, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Give `module` every name that is asked for."""
        stand_in = next(s for n, s in ABSENT.items() if f"{module.__name__}.".startswith(f"{n}."))

        def __getattr__(name: str) -> object:
            if name.startswith("__"):
                raise AttributeError(name)
            return stand_in

        module.__dict__["__getattr__"] = __getattr__


def main(how: str, source: str, output: str) -> int:
    # Nearly all objects that are made here are code, and stay: looking for garbage among them takes
    # a tenth of the time.
    gc.disable()
    flow = f"{output}/flow"
    if how == "copy":
        shutil.copytree(source, flow)
    elif not _pf_flow_build(source, flow):
        return 1
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    # By force: importing the flow has left bytecode that is checked against a time.
    compileall.compile_dir(
        flow, quiet=1, force=True, invalidation_mode=mode, stripdir=output, prependdir="/app"
    )
    Path(output, "packed").touch()
    return 0


def _pf_flow_build(source: str, flow: str) -> bool:
    """Let promptflow build `source` into the folder `flow`; print why where it does not."""
    # A home of the sandbox's own: no connection store, no key ring and no settings of a user;
    # telemetry off.
    home = Path(os.environ["PF_HOME_DIRECTORY"])
    home.mkdir(parents=True)
    (home / "pf.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    # A flow that wants the whole of promptflow gets it here, too.
    if not (PACKAGES / "promptflow" / "_sdk").exists():
        sys.meta_path.insert(0, Absent())
    from promptflow._cli._pf.entry import main as pf

    # --flow-only: the rest of pf's output is a Dockerfile and the user's connections with their
    # endpoints.
    sys.argv = ["pf", "flow", "build", "--source", source, "--output", flow]
    sys.argv += ["--format", "docker", "--flow-only"]
    try:
        pf()
    except SystemExit as stop:
        if stop.code:
            return False
    except Exception as error:
        print(f"pf flow build: {_reason(error)}", file=sys.stderr)
        return False
    # What tools look like in an editor; serving does not read it.
    shutil.rmtree(f"{flow}/.promptflow", ignore_errors=True)
    return True


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
