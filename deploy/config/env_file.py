"""The file .env with variables of the deploying process."""

from __future__ import annotations

import io
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from deploy.core import yaml_files
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import display_path


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables in the .env file `path`.

    Raises `DeployError` for a line that cannot be read, without quoting the line.
    """
    if not path.exists():
        return {}
    text = yaml_files.read_text(path)
    problems = [
        Problem(
            f"{display_path(path)}:{binding.original.line}",
            "this line cannot be read",
            "write NAME=value",
        )
        for binding in parse_stream(io.StringIO(text))
        if binding.error
    ]
    if problems:
        raise DeployError.from_problems(problems)
    values = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in values.items() if value is not None}
