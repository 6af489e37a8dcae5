"""Read, validate and explain the configuration."""
