"""Azure Pipelines: lines that its agent obeys (Microsoft Learn, "Logging commands")."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.errors import Problem
from deploy.job.problems import Level, place

# azure-pipelines-agent, `Command.cs`: it looks for them anywhere in a line.
_COMMAND = re.compile(r"#(?=#(?:vso)?\[)")


class AzurePipelines:
    """A step of a job."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def output(self, name: str, value: str) -> None:
        """Set an output variable; later jobs name the step that this is."""
        _command("task.setvariable", {"variable": name, "isOutput": "true"}, value)

    def summary(self, sections: Sequence[str]) -> None:
        """Write a file, which the agent shows in the tab Extensions of the run."""
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            prefix="inv-",
            suffix=".md",
            # The agent may read it after this process, and empties the folder after the job.
            dir=self._environ.get("AGENT_TEMPDIRECTORY"),
            delete=False,
        ) as file:
            file.write("\n\n".join(section.strip() for section in sections) + "\n")
        _command("task.uploadsummary", {}, str(Path(file.name)))

    def annotate(self, level: Level, problem: Problem) -> None:
        """Log an issue; of each level the page of a run shows the first ten of a step."""
        found = place(problem.where, self._environ.get("BUILD_SOURCESDIRECTORY"))
        about: dict[str, str] = {"type": level}
        if found:
            about["sourcepath"] = found.file
        if found and found.line:
            about["linenumber"] = str(found.line)
        hint = f" → {problem.hint}" if problem.hint else ""
        _command("task.logissue", about, f"{problem.where}: {problem.what}{hint}")

    def begin(self, title: str) -> str:
        """Return the command that begins a group."""
        return f"##[group]{' '.join(title.split())}"

    def end(self) -> str:
        """Return the command that ends it."""
        return "##[endgroup]"

    def inert(self, text: str) -> str:
        """Return `text` with a space within what begins a command."""
        return _COMMAND.sub("# ", text)


def _command(name: str, properties: Mapping[str, str], text: str) -> None:
    about = "".join(f"{key}={_property(value)};" for key, value in properties.items())
    print(f"##vso[{name}{f' {about}' if about else ''}]{_data(text)}", file=sys.stderr, flush=True)


# azure-pipelines-agent, `CommandStringConvertor`; the percent sign in the agent's own form.
def _data(text: str) -> str:
    return text.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(";", "%3B").replace("]", "%5D")
