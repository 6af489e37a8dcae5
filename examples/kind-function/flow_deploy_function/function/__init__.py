"""The part of the kind `function` that is copied into the image."""
