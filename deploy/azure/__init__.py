"""What all Azure targets share: clouds, credentials, Resource Manager, Key Vault, errors."""
