"""A registry and its language: log in, push, pull, promote, documents about images."""
