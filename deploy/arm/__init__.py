"""Azure Resource Manager, for every target in Azure: requests, what refusals say, who may pull."""
