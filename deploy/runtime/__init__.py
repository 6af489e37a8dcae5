"""What goes into the image: an HTTP server that scores one flow.

Nothing here imports the rest of `deploy`: inside the image this package stands alone, as `runtime`.
"""
