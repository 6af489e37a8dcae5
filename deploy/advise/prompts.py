"""Prompts for the questions on a terminal, on standard error: the advice is standard output."""

from __future__ import annotations

import sys

from invoke.exceptions import Exit

from deploy.advise.answers import Question
from deploy.core.errors import DeployError


def can_ask() -> bool:
    """Return whether standard input is a terminal."""
    return sys.stdin.isatty()


def ask(question: Question) -> str:
    """Return a valid answer as text; Enter selects the default. Ctrl-C and Ctrl-D end the task."""
    while True:
        _print_line(f"\n{question.text}")
        for choice, meaning in question.choices.items():
            if meaning:
                _print_line(f"  {choice:<10} {meaning}")
        expected = "/".join(question.choices) or question.unit
        try:
            # Inside `try`: Ctrl-C can arrive after the prompt is visible, before `input` reads.
            print(f"{expected} [{question.default}]: ", end="", file=sys.stderr, flush=True)
            text = input().strip() or question.default
        except (KeyboardInterrupt, EOFError):
            raise Exit("\ninterrupted: nothing was written", 130) from None
        try:
            question.parse_answer(text)
        except DeployError as error:
            _print_line(str(error))
            continue
        return text


def _print_line(line: str) -> None:
    print(line, file=sys.stderr)
