"""Stubs of the classes whose `create` promptflow traces; without `create` it skips them."""


class Completions:
    """Has no `create`."""


class AsyncCompletions:
    """Has no `create`."""


class Embeddings:
    """Has no `create`."""


class AsyncEmbeddings:
    """Has no `create`."""
