"""Azure Container Apps: apps with several active revisions, as needed by tests of an extension.

Every revision is a real container, pulled by its digest with the app's identity, and has its own
host; the app's host distributes requests by the weights of its traffic rules.
"""
