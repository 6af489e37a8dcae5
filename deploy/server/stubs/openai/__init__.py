"""A stub of openai, for the image of a flow that calls no model.

promptflow imports these names from openai at startup to catch its errors and to trace its calls.
Nothing here can be called. The real package takes 30 MB with its dependencies, and a third of the
container's start time.
"""


class OpenAIError(Exception):
    """The base class of openai's errors: never raised here."""


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
