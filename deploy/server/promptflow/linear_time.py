"""Patches that keep promptflow's processing of inputs linear, so no input blocks the interpreter.

Each function here replaces a function of promptflow whose time or memory grows faster than its
input, with the same results (tests/integration/test_hostile_inputs.py lists what was examined).
They are installed regardless of `SERVE_SHORTCUTS`.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from . import prompts, roles
from .failures import InputRejected

# More than any model accepts. Python needs 1 kB for a message, and 250 bytes for a line in a
# message with an image or for a number that `ast` parses.
MAX_MESSAGES = 10_000
MAX_LINES = 10_000
MAX_TOOL_CALLS_LENGTH = 100_000

# The modules with these functions; true for promptflow-tools, whose functions search mappings for
# roles and accept text after tool calls.
_MODULES = {"promptflow.tools.common": True, "promptflow.core._prompty_utils": False}
_LLAMA_ROLES = ("system", "user", "assistant")


def install() -> None:
    """Replace the functions in the modules that the flow has loaded."""
    for name, tools in _MODULES.items():
        if name in sys.modules:
            _patch_module(sys.modules[name], tools)
    if "promptflow.tools.open_model_llm" in sys.modules:
        _replace_split(
            sys.modules["promptflow.tools.open_model_llm"],
            r"(?i)\n*(" + "|".join(_LLAMA_ROLES) + r")\s*:\s*\n",
            functools.partial(prompts.split_anywhere, roles=_LLAMA_ROLES),
        )


def _patch_module(module: Any, tools: bool) -> None:
    _replace_split(module, prompts.separator(), prompts.split_messages)
    module.try_parse_name_and_content = functools.partial(prompts.parse_labels, label="name")
    module.try_parse_tool_call_id_and_content = functools.partial(
        prompts.parse_labels, label="tool_call_id"
    )
    module.try_parse_tool_calls = functools.partial(_tool_calls, at_end=not tools)
    module.to_content_str_or_list = functools.partial(_content, module.to_content_str_or_list)
    lists = module.ChatInputList
    escaper = module.Escaper
    escaper.build_flow_input_escape_dict = staticmethod(
        lambda val, escape_dict: roles.collect_tokens(val, escape_dict, lists, tools)
    )
    escaper.escape_roles_in_flow_input = staticmethod(
        lambda val, escape_dict: roles.escape(val, escape_dict, lists, tools)
    )
    escaper.unescape_roles = staticmethod(roles.unescape)


def _replace_split(module: ModuleType, separator: str, split: Any) -> None:
    """Replace `re.split` in `module` with `split` for the pattern `separator`.

    The module uses `re.split` only to split rendered prompts.
    """

    def by(pattern: Any, text: str, **options: Any) -> list[str]:
        if pattern != separator:
            return re.split(pattern, text, **options)
        parts: list[str] = split(text)
        if len(parts) > 2 * MAX_MESSAGES:
            raise InputRejected(
                f"the prompt has more than {MAX_MESSAGES:,} messages", code="TooMany"
            )
        return parts

    module.re = SimpleNamespace(**{**vars(re), "split": by})  # type: ignore[attr-defined]


def _tool_calls(role_prompt: str, at_end: bool) -> Any:
    text = prompts.extract_tool_calls(role_prompt, at_end)
    if text is None:
        return None
    if len(text) > MAX_TOOL_CALLS_LENGTH:
        raise InputRejected(
            f"tool calls have more than {MAX_TOOL_CALLS_LENGTH:,} characters", code="TooMany"
        )
    try:
        return ast.literal_eval(text)
    except Exception:
        # promptflow treats it as ordinary text.
        return None


def _content(ordinary: Any, chat_str: str, hash2images: Any, image_detail: str) -> Any:
    # promptflow creates a dictionary for each line, and drops all of them if there is no image.
    if not hash2images:
        return chat_str.strip()
    if chat_str.count("\n") > MAX_LINES:
        raise InputRejected(
            f"a message with a picture has more than {MAX_LINES:,} lines", code="TooMany"
        )
    return ordinary(chat_str, hash2images, image_detail)
