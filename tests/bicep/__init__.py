"""An interpreter for the part of Bicep that infra/ uses, so that tests can check the resources.

Documented: Bicep, "Structure and syntax", "Expressions", "Bicep functions". Whatever else a file holds
is an error, and no guess. The compiler itself runs in CI, where it can be had.
"""
