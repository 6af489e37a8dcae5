"""Azure Machine Learning with managed online endpoints, whose deployments are real containers."""
