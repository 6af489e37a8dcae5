"""A flow's folder becomes an image: base, locked packages, `pf flow build`, docker build."""
