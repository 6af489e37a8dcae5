"""Which image of a registry is used: one whose content this machine knows."""
