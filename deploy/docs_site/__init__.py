"""The documentation site: stage the pages of docs/, generate the task reference, build the site."""
