"""Inspect the content of images: files, packages, SBOM, provenance, secret scan, verification."""
