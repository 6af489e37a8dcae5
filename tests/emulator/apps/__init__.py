"""Azure Container Apps: apps with several active revisions, as far as an extension's tests need them.

Every revision is a real container, pulled by its digest with the app's identity, behind a host of its own;
the app's host sends requests by the weights of its traffic rules.
"""
