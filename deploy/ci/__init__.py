"""What pipelines ask of `inv`: which flows changed, a trial of one, and the linters."""
