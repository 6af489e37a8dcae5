"""Writes through an Azure SDK: errors as values, and retries while another operation runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from deploy.azure import errors
from deploy.azure.errors import AzureError
from deploy.core.errors import DeployError

MAX_ATTEMPTS = 5
Result = TypeVar("Result")


class WriteRejected(Exception):
    """Azure rejected a write, the write failed, or its result is unknown."""

    def __init__(self, error: AzureError) -> None:
        super().__init__(error.text)
        self.azure_error = error


def submit(write: Callable[[], Result]) -> Result:
    """Return the result of `write`, a call of an SDK. Raise `WriteRejected`."""
    # Importing an SDK takes seconds.
    from azure.core.exceptions import AzureError as SdkError

    try:
        return write()
    except SdkError as error:
        raise WriteRejected(errors.parse_sdk_error(error)) from None


def submit_with_retries(
    write: Callable[[], object],
    is_retryable: Callable[[AzureError], bool],
    pause: Callable[[], None],
    is_done: Callable[[], bool] = lambda: False,
) -> None:
    """Carry out `write`; repeat it after a `pause` while its error is retryable.

    A response may be lost: if `is_done` finds the effect of the write before a repetition, the
    write counts as done. Raise `WriteRejected`.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            write()
            return
        except WriteRejected as error:
            if attempt == MAX_ATTEMPTS or not is_retryable(error.azure_error):
                raise
        pause()
        if is_done():
            return


@contextlib.contextmanager
def explained(explain: Callable[[AzureError], DeployError]) -> Iterator[None]:
    """Turn a `WriteRejected` inside the block into the `DeployError` that `explain` returns."""
    try:
        yield
    except WriteRejected as error:
        raise explain(error.azure_error) from None
