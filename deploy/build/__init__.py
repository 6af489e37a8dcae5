"""Turn a flow's folder into an image: base, locked packages, `pf flow build`, docker build."""
