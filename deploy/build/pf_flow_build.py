"""Pack one flow in the isolated container: run `pf flow build`, then compile bytecode.

The rest of `deploy` does not import this program. Arguments: `pf`, or `copy` for a flow that
promptflow does not know; the flow's source; the folder for the result. If the flow cannot be
packed, it prints one line and ends with exit code 1.
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


def _pass_through(argument: object = None, *_: object, **__: object) -> object:
    """Return the first argument; usable as a function and as a decorator."""
    return argument


def _create_null_handler(**_: object) -> logging.Handler:
    return logging.NullHandler()


# Modules that promptflow-devkit imports and that building a flow does not use: the database of
# runs, the trace viewer service, telemetry. With their imports they are a third of all modules.
# Each has a stub that stands for all of its names.
STUBBED_MODULES: dict[str, Callable[..., object]] = {
    "promptflow._sdk._orm": _pass_through,
    "promptflow._sdk._service": _pass_through,
    "promptflow._sdk._telemetry.logging_handler": _create_null_handler,
    "promptflow._cli._pf._service": _pass_through,
    # The Flask server, of promptflow-core.
    "promptflow.core._serving.v1": _pass_through,
}


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """A finder of empty modules in place of those in `STUBBED_MODULES` and their submodules."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a stub that `exec_module` fills, or None for the next finder."""
        if any(f"{name}.".startswith(f"{absent}.") for absent in STUBBED_MODULES):
            return ModuleSpec(name, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Let `module` provide every name that is imported from it."""
        stub = next(
            s for n, s in STUBBED_MODULES.items() if f"{module.__name__}.".startswith(f"{n}.")
        )

        def __getattr__(name: str) -> object:
            if name.startswith("__"):
                raise AttributeError(name)
            return stub

        module.__dict__["__getattr__"] = __getattr__


def main(method: str, source: str, output: str) -> int:
    # Nearly all objects are code and stay in memory: garbage collection would take a tenth of the
    # time.
    gc.disable()
    flow = f"{output}/flow"
    if method == "copy":
        shutil.copytree(source, flow)
    elif not _run_pf_flow_build(source, flow):
        return 1
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    # With force: importing the flow has left bytecode that is checked by timestamps.
    compileall.compile_dir(
        flow, quiet=1, force=True, invalidation_mode=mode, stripdir=output, prependdir="/app"
    )
    Path(output, "packed").touch()
    return 0


def _run_pf_flow_build(source: str, flow: str) -> bool:
    """Run `pf flow build` of `source` into the folder `flow`; print the error if it fails.

    Return whether it succeeded.
    """
    # A home of the container's own: no connection store, key ring or settings of a user; telemetry
    # off.
    home = Path(os.environ["PF_HOME_DIRECTORY"])
    home.mkdir(parents=True)
    (home / "pf.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    # A flow that requires all of promptflow gets it here, too.
    if not (PACKAGES / "promptflow" / "_sdk").exists():
        sys.meta_path.insert(0, StubFinder())
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
        print(f"pf flow build: {_format_root_cause(error)}", file=sys.stderr)
        return False
    # Metadata of tools for editors; serving does not read it.
    shutil.rmtree(f"{flow}/.promptflow", ignore_errors=True)
    return True


def _format_root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
