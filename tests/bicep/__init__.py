"""As much of Bicep as infra/ uses, read and worked out, so that tests can look at what it makes.

Documented: Bicep, "Structure and syntax", "Expressions", "Bicep functions". Whatever else a file holds
is an error, and no guess. The compiler itself runs in CI, where it can be had.
"""
