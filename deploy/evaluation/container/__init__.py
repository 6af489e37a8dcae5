"""What runs in the container of an evaluation; nothing else imports it.

It goes there with the modules of `deploy` that it imports, under another name for `deploy`
(deploy/evaluation/running.py), so that a flow may have a module of that name: imports are relative.
"""
