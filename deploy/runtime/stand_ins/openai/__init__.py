"""Stands in for openai in the image of a flow that talks to no model.

promptflow imports these names from openai when it starts, to catch its errors and to trace its
calls; nothing here can be called. The real package is 30 MB with what it asks for, and a third of
the time that a container needs to start.
"""


class OpenAIError(Exception):
    """What openai's errors have in common: never raised here."""


class APIError(OpenAIError):
    """Never raised here."""


class APIStatusError(APIError):
    """Never raised here."""


class APIConnectionError(APIError):
    """Never raised here."""


class APITimeoutError(APIConnectionError):
    """Never raised here."""


class BadRequestError(APIStatusError):
    """Never raised here."""


class RateLimitError(APIStatusError):
    """Never raised here."""


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        "openai is not in this image: add openai to the flow's requirements.txt, then `inv lock`"
    )
