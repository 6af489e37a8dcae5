"""Translation of errors into the response to the client: wrong input, model error or flow error."""

from __future__ import annotations

import contextvars
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from promptflow._utils.exception_utils import ErrorResponse
from promptflow.exceptions import PromptflowException, UserErrorException

from ..scorer import BadInput, FlowError

# Error codes of promptflow for inputs that are not valid.
_INPUT_ERRORS = {
    "InputNotFound",
    "InputTypeError",
    "InputParseError",
    "MissingRequiredFlowInput",
    "MissingRequiredInputError",
    "InvalidImageInput",
    "LoadMultimediaDataError",
}

# A message of promptflow may quote the whole input.
MAX_MESSAGE_LENGTH = 1000


# The rejections of the current request, each as the arguments of `BadInput`. They are needed where
# promptflow's executor keeps only a record, in which errors are text. They are not exceptions:
# their tracebacks would keep the request in memory until the next garbage collection.
input_rejections: contextvars.ContextVar[list[tuple[str, tuple[str, ...], str]]] = (
    contextvars.ContextVar("refusals")
)


class InputRejected(UserErrorException):  # type: ignore[misc]
    """A client error that is detected inside promptflow, which passes on `UserErrorException`."""

    def __init__(self, text: str, inputs: tuple[str, ...] = (), code: str = "InvalidInput") -> None:
        super().__init__(message=text)
        self.refusal = (text, inputs, code)
        input_rejections.get([]).append(self.refusal)


def translate_error(error: BaseException, node: str = "") -> BadInput | FlowError:
    """Return the error for the client; `error` was raised by `node` or by the flow.

    promptflow responds to all errors with 400. Clients that retry, and alerts, need to distinguish
    them.
    """
    for cause in _iter_causes(error):
        if isinstance(cause, InputRejected):
            return _create_bad_input(*cause.refusal)
        if isinstance(cause, FlowError):
            return cause
    location = f" in node {node}" if node else ""
    model_error = next(
        (f for e in _iter_causes(error) if (f := _translate_model_error(e, location))), None
    )
    if model_error:
        return model_error
    if not isinstance(error, PromptflowException):
        detail = "".join(traceback.format_exception(error)).strip()
        return FlowError(f"the flow failed{location} ({type(error).__name__})", detail)
    return translate_record(ErrorResponse.from_exception(error), node)


def translate_record(error: ErrorResponse, node: str = "") -> BadInput | FlowError:
    """Return the error for the client if promptflow has kept only the record of an error."""
    code = error.innermost_error_code or "unknown"
    # The last rejection names the input.
    for refusal in reversed(input_rejections.get([])):
        if refusal[0] in error.message:
            return _create_bad_input(*refusal)
    if code in _INPUT_ERRORS and not node:
        return BadInput(error.message[:MAX_MESSAGE_LENGTH], code=code)
    location = f" in node {node}" if node else ""
    # The traceback of the flow's own code.
    trace = error.get_user_execution_error_info().get("traceback", "")
    return FlowError(f"the flow failed{location} ({code})", f"{error.message}\n{trace}".strip())


def _create_bad_input(text: str, inputs: tuple[str, ...], code: str) -> BadInput:
    return BadInput(text, list(inputs), code)


def _iter_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and its causes; an error of the OpenAI SDK may be deep inside."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        # promptflow's WrappedOpenAIError has the wrapped error in this attribute.
        wrapped = getattr(current, "_ex", None)
        current = wrapped or current.__cause__ or current.__context__


def _translate_model_error(error: BaseException, place: str) -> BadInput | FlowError | None:
    """Return the client's error for an error of the OpenAI SDK, or None.

    None also for a rejected key: clients can retry after the statuses that are returned here, but a
    retry does not help with a wrong key.
    """
    openai: Any = sys.modules.get("openai")
    if openai is None or not isinstance(error, openai.APIError):
        return None
    detail = repr(error)
    if isinstance(error, openai.APITimeoutError):
        return FlowError(f"the model did not answer in time{place}", detail, 504, "ModelTimeout")
    if isinstance(error, openai.APIConnectionError):
        return FlowError(f"the model cannot be reached{place}", detail, 502, "ModelUnreachable")
    if not isinstance(error, openai.APIStatusError):
        return FlowError(f"the model's response was cut off{place}", detail, 502, "ModelFailed")
    status = error.status_code
    if status == 429:
        wait = error.response.headers.get("retry-after", "")
        wait = wait if wait.isdecimal() else "1"
        return FlowError(f"the model is busy{place}", detail, 503, "ModelBusy", wait)
    if status >= 500:
        message = f"the model failed with {status}{place}"
        return FlowError(message, detail, 502, "ModelFailed")
    if status == 400 and getattr(error, "code", None) == "content_filter":
        return BadInput("the model's content filter refused this input", code="ContentFiltered")
    return None
