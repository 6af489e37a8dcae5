"""The gate before a deploy: a flow's answers to known questions, judged by evaluation flows."""
