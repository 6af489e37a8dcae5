"""The command line: tasks by topic, exit codes, tables."""
