"""Search images for secrets before they are pushed."""
