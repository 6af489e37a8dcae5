"""Stands in for tiktoken, which promptflow imports when it starts and uses to count tokens.

It would count those of a stream, which the model does not report, and of
`Prompty.estimate_token_count`. For that it downloads a table for each model.
"""


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        "tiktoken is not in this image: add tiktoken to the flow's requirements.txt, "
        "then `inv lock`"
    )
