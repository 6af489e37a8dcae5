"""Let no request's input hold the interpreter: what promptflow does with it, in linear time.

Each function here takes the place of one of promptflow's whose time or memory grows faster than
its input, with the same results (tests/integration/test_hostile_inputs.py lists what was examined).
They are installed whatever `SERVE_SHORTCUTS` says.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from . import prompts, roles
from .failures import InputRefused

# More than any model takes. Python needs 1 kB for a message, and 250 bytes for a line beside a
# picture or for a number that `ast` reads.
MESSAGES = 10_000
LINES = 10_000
TOOL_CALLS = 100_000

# Where the functions are, and whether they are those of promptflow-tools, which search mappings for
# roles and let text follow tool calls.
_MODULES = {"promptflow.tools.common": True, "promptflow.core._prompty_utils": False}
_LLAMA_ROLES = ("system", "user", "assistant")


def install() -> None:
    """Replace the functions in those modules that the flow has loaded."""
    for name, tools in _MODULES.items():
        if name in sys.modules:
            _install(sys.modules[name], tools)
    if "promptflow.tools.open_model_llm" in sys.modules:
        _replace_split(
            sys.modules["promptflow.tools.open_model_llm"],
            r"(?i)\n*(" + "|".join(_LLAMA_ROLES) + r")\s*:\s*\n",
            functools.partial(prompts.split_anywhere, roles=_LLAMA_ROLES),
        )


def _install(module: Any, tools: bool) -> None:
    _replace_split(module, prompts.separator(), prompts.split)
    module.try_parse_name_and_content = functools.partial(prompts.labelled, label="name")
    module.try_parse_tool_call_id_and_content = functools.partial(
        prompts.labelled, label="tool_call_id"
    )
    module.try_parse_tool_calls = functools.partial(_tool_calls, at_end=not tools)
    module.to_content_str_or_list = functools.partial(_content, module.to_content_str_or_list)
    lists = module.ChatInputList
    escaper = module.Escaper
    escaper.build_flow_input_escape_dict = staticmethod(
        lambda val, escape_dict: roles.collect(val, escape_dict, lists, tools)
    )
    escaper.escape_roles_in_flow_input = staticmethod(
        lambda val, escape_dict: roles.escape(val, escape_dict, lists, tools)
    )
    escaper.unescape_roles = staticmethod(roles.unescape)


def _replace_split(module: ModuleType, separator: str, split: Any) -> None:
    """Let `re.split` in `module` split a rendered prompt, which is all that it does there."""

    def by(pattern: Any, text: str, **options: Any) -> list[str]:
        if pattern != separator:
            return re.split(pattern, text, **options)
        parts: list[str] = split(text)
        if len(parts) > 2 * MESSAGES:
            raise InputRefused(f"the prompt has more than {MESSAGES:,} messages", code="TooMany")
        return parts

    module.re = SimpleNamespace(**{**vars(re), "split": by})  # type: ignore[attr-defined]


def _tool_calls(role_prompt: str, at_end: bool) -> Any:
    text = prompts.tool_calls(role_prompt, at_end)
    if text is None:
        return None
    if len(text) > TOOL_CALLS:
        raise InputRefused(f"tool calls have more than {TOOL_CALLS:,} characters", code="TooMany")
    try:
        return ast.literal_eval(text)
    except Exception:
        # promptflow takes it for an ordinary text.
        return None


def _content(ordinary: Any, chat_str: str, hash2images: Any, image_detail: str) -> Any:
    # promptflow makes a dictionary for each line, and drops them all where there is no picture.
    if not hash2images:
        return chat_str.strip()
    if chat_str.count("\n") > LINES:
        raise InputRefused(
            f"a message with a picture has more than {LINES:,} lines", code="TooMany"
        )
    return ordinary(chat_str, hash2images, image_detail)
