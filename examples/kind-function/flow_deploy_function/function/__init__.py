"""In the image: scores the function `flow` of a function.py."""
