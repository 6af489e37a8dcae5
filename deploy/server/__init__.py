"""The server in a flow's image, which answers POST /score.

It imports nothing else from `deploy`: in the image this package stands alone, as `flow_server`.
"""
