"""Infrastructure made once, before the first deploy: Bicep parameters, request, comparison."""
