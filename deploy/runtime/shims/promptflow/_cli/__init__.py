"""See `promptflow._internal` beside this folder."""
