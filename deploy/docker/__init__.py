"""The container engine: connections, isolated containers, image archives."""
