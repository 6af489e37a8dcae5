"""A stub of tiktoken, which promptflow imports at startup and uses to count tokens.

promptflow counts the tokens of streams, for which the model reports none, and those of
`Prompty.estimate_token_count`. For that, tiktoken downloads a table for each model.
"""


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        "tiktoken is not in this image: add tiktoken to the flow's requirements.txt, "
        "then `inv lock`"
    )
