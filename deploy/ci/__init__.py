"""What `inv` tells the CI system that it runs in, and how it logs in there."""
