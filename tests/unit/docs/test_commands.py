"""Every command on a page exists, and a test runs it."""

from __future__ import annotations

from invoke.exceptions import ParseError

from tests import documented
from tests.documented import ROOT, Call


def problem(command: documented.Command) -> str:
    try:
        documented.calls(command.words)
    except ParseError as error:
        # A task may be spoken of without what it needs; in a block it is to be copied.
        if not (command.mention and len(command.words) == 1 and "positional" in str(error)):
            return f"{command}: {error}"
    return ""


def test_every_command_is_a_task_with_flags_that_it_has() -> None:
    found = list(documented.commands())
    assert len(found) > 80
    assert [text for text in map(problem, found) if text] == []


def test_every_command_in_a_block_is_tested_or_has_a_reason() -> None:
    known = [*documented.run(), *documented.not_run()]
    named = {
        call: command
        for command in documented.commands()
        if not problem(command) and len(command.words) > 1
        for call in documented.calls(command.words)
    }
    missing = [
        f"{command} ({call})"
        for call, command in named.items()
        if not any(one.runs(call) for one in known)
    ]
    assert missing == [], "add it to STEPS in tests/documented.py, or to NOT_RUN with the reason"


def test_no_command_is_both_run_and_excluded() -> None:
    run = documented.run()
    assert [str(call) for call in documented.not_run() if any(r.runs(call) for r in run)] == []


def test_tests_that_run_commands_exist() -> None:
    for line, path in documented.ELSEWHERE.items():
        (call,) = documented.calls(tuple(line.split()))
        text = (ROOT / path).read_text("utf-8")
        flags = (flag.strip("_").replace("_", "-") for flag in call.flags)
        for word in (call.task, *(f"--{flag}" for flag in flags)):
            assert f'"{word}"' in text, f"{path} does not run {line}"


def test_a_wrong_flag_and_a_missing_one_would_be_found() -> None:
    wrong = documented.Command(("deploy", "--enviroment", "dev"), "page:1", mention=True)
    assert problem(wrong) == "page:1: inv deploy --enviroment dev: No idea what '--enviroment' is!"
    missing = documented.Command(("infra.plan",), "page:2", mention=False)
    assert problem(missing) == (
        "page:2: inv infra.plan: 'infra.plan' did not receive required positional arguments: 'env'"
    )
    assert problem(documented.Command(("infra.plan",), "page:2", mention=True)) == ""
    assert documented.calls(("setup", "deploy", "--flow=faq")) == [
        Call("setup", frozenset()),
        Call("deploy", frozenset({"flow"})),
    ]
