"""The classes whose `create` promptflow wraps to trace it; these have none, so it leaves them."""


class Completions:
    """Has no `create`."""


class AsyncCompletions:
    """Has no `create`."""


class Embeddings:
    """Has no `create`."""


class AsyncEmbeddings:
    """Has no `create`."""
