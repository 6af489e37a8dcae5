"""Publish a flow's image, deploy it, verify it, and roll it back: the order of the steps."""
