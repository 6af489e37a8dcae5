"""The job of a CI system that this process may be: what it can be told, and who it is."""
