"""No secret in an image: what one looks like, and where it is looked for."""
