"""Tell what failed: the client's input, the model, or the flow."""

from __future__ import annotations

import contextvars
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from promptflow._utils.exception_utils import ErrorResponse
from promptflow.exceptions import PromptflowException, UserErrorException

from ..scorer import BadInput, FlowFailed

# Codes of promptflow's errors that mean: the inputs do not fit the flow.
_INPUT_ERRORS = {
    "InputNotFound",
    "InputTypeError",
    "InputParseError",
    "MissingRequiredFlowInput",
    "MissingRequiredInputError",
    "InvalidImageInput",
    "LoadMultimediaDataError",
}

# A message of promptflow's may quote the whole input.
LONGEST = 1000


# Of the request at hand, each as the arguments of `BadInput`: where promptflow's executor keeps a
# record alone, errors are texts in it. No exceptions: they would hold the request by their
# tracebacks, and the context them, until the garbage collector comes by.
refusals: contextvars.ContextVar[list[tuple[str, tuple[str, ...], str]]] = contextvars.ContextVar(
    "refusals"
)


class InputRefused(UserErrorException):  # type: ignore[misc]
    """The client's mistake, noticed inside of promptflow, which passes on errors of this kind."""

    def __init__(self, text: str, inputs: tuple[str, ...] = (), code: str = "InvalidInput") -> None:
        super().__init__(message=text)
        self.refusal = (text, inputs, code)
        refusals.get([]).append(self.refusal)


def translate(error: BaseException, node: str = "") -> BadInput | FlowFailed:
    """Return what the client is told of `error`, which was raised by `node` or by the flow.

    promptflow answers all with 400; a caller that retries, and an alert that counts, need to know
    them apart.
    """
    for each in _chain(error):
        if isinstance(each, InputRefused):
            return _refused(*each.refusal)
        if isinstance(each, FlowFailed):
            return each
    place = f" in node {node}" if node else ""
    from_model = next((f for e in _chain(error) if (f := _model_failure(e, place))), None)
    if from_model:
        return from_model
    if not isinstance(error, PromptflowException):
        detail = "".join(traceback.format_exception(error)).strip()
        return FlowFailed(f"the flow failed{place} ({type(error).__name__})", detail)
    return by_code(ErrorResponse.from_exception(error), node)


def by_code(error: ErrorResponse, node: str = "") -> BadInput | FlowFailed:
    """Return what the client is told of an error of which promptflow kept the record alone."""
    code = error.innermost_error_code or "unknown"
    # The last one names the input.
    for refusal in reversed(refusals.get([])):
        if refusal[0] in error.message:
            return _refused(*refusal)
    if code in _INPUT_ERRORS and not node:
        return BadInput(error.message[:LONGEST], code=code)
    place = f" in node {node}" if node else ""
    # The message, and the traceback of the flow's own code.
    where = error.get_user_execution_error_info().get("traceback", "")
    return FlowFailed(f"the flow failed{place} ({code})", f"{error.message}\n{where}".strip())


def _refused(text: str, inputs: tuple[str, ...], code: str) -> BadInput:
    return BadInput(text, list(inputs), code)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what it came from; an error of the OpenAI SDK may be deep inside."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        # promptflow's WrappedOpenAIError keeps what it wraps under this name.
        wrapped = getattr(current, "_ex", None)
        current = wrapped or current.__cause__ or current.__context__


def _model_failure(error: BaseException, place: str) -> BadInput | FlowFailed | None:
    """Return how an error of the OpenAI SDK is told; None for any other, and for a refused key.

    A caller may come again later for what these statuses say, not for a wrong key.
    """
    openai: Any = sys.modules.get("openai")
    if openai is None or not isinstance(error, openai.APIError):
        return None
    detail = repr(error)
    if isinstance(error, openai.APITimeoutError):
        return FlowFailed(f"the model did not answer in time{place}", detail, 504, "ModelTimeout")
    if isinstance(error, openai.APIConnectionError):
        return FlowFailed(f"the model cannot be reached{place}", detail, 502, "ModelUnreachable")
    if not isinstance(error, openai.APIStatusError):
        return FlowFailed(f"the model's answer broke off{place}", detail, 502, "ModelFailed")
    status = error.status_code
    if status == 429:
        wait = error.response.headers.get("retry-after", "")
        wait = wait if wait.isdecimal() else "1"
        return FlowFailed(f"the model is busy{place}", detail, 503, "ModelBusy", wait)
    if status >= 500:
        what = f"the model failed with {status}{place}"
        return FlowFailed(what, detail, 502, "ModelFailed")
    if status == 400 and getattr(error, "code", None) == "content_filter":
        return BadInput("the model's content filter refused this input", code="ContentFiltered")
    return None
