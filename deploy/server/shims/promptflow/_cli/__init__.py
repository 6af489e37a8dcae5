"""Names of `promptflow._cli` for promptflow-tools; see `promptflow._internal`."""
