"""Communicate with registries: sign in, push, pull, promote, documents about images."""
