"""Importers of flows from other templates."""
