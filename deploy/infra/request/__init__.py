"""The Infrastructure Request: what a project hands to a platform team, in three formats."""
