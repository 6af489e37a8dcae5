"""The program that runs in an evaluation's container; no other code imports it.

`evaluation/runner.py` copies it there together with the modules of `deploy` that it imports. There
`deploy` has another name, because a flow may have a module of that name: so imports are relative.
"""
