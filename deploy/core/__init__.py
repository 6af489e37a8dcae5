"""What every package uses: entities, errors, progress output, HTTP, YAML files."""
