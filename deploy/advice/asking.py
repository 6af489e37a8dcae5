"""The questions on a terminal. They go to standard error, so that standard output is the advice."""

from __future__ import annotations

import sys

from invoke.exceptions import Exit

from deploy.advice.answers import Question
from deploy.errors import DeployError


def can() -> bool:
    """Return whether there is somebody to ask."""
    return sys.stdin.isatty()


def ask(question: Question) -> str:
    """Return an answer that can be read; Enter is the default. Ctrl-C and Ctrl-D end the task."""
    while True:
        _say(f"\n{question.text}")
        for choice, meaning in question.choices.items():
            if meaning:
                _say(f"  {choice:<10} {meaning}")
        known = "/".join(question.choices) or question.unit
        try:
            # With the prompt: whoever sees it may press Ctrl-C before the reading has begun.
            print(f"{known} [{question.default}]: ", end="", file=sys.stderr, flush=True)
            text = input().strip() or question.default
        except (KeyboardInterrupt, EOFError):
            raise Exit("\ninterrupted: nothing was written", 130) from None
        try:
            question.read(text)
        except DeployError as error:
            _say(str(error))
            continue
        return text


def _say(line: str) -> None:
    print(line, file=sys.stderr)
