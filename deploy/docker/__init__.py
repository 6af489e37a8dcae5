"""The container engine: connecting to it, isolated containers, image archives."""
