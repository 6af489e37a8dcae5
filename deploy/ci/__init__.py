"""Support for CI pipelines: flows that changed, the matrix of jobs, commands of the CI system."""
