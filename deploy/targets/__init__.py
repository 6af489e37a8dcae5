"""Deployment targets: the local Docker engine, Azure Machine Learning, Azure App Service."""
