"""Verify that the content of a registry's image is known to this machine before it is used."""
