"""Compile the standard library in a container of a base image, and copy the bytecode.

This program runs in the container. Arguments: the library's folder, and the folder for the result.
"""

from __future__ import annotations

import compileall
import py_compile
import re
import shutil
import sys
from pathlib import Path

# Modules that hardly any server imports: tests, interactive tools, old protocols, modules with an
# equivalent in C, and tables of rarely used encodings. Python compiles these when they are
# imported.
EXCLUDED_MODULES = re.compile(
    "/(site-packages|dist-packages|test|tests|idlelib|turtledemo|tkinter|lib2to3|ensurepip|curses|venv"
    "|wsgiref|xmlrpc|pydoc_data|distutils|config-[^/]*)/"
    "|/(_pydecimal|_pyio|aifc|bdb|cgi|cgitb|cmd|doctest|imaplib|mailbox|modulefinder|nntplib|optparse"
    r"|pdb|pickletools|poplib|profile|pstats|pydoc|smtpd|sunau|telnetlib|timeit|trace|turtle|wave"
    r"|_osx_support|ctypes/_aix|ctypes/wintypes|asyncio/(proactor_events|windows_\w+)"
    r"|_sysconfigdata\w*)[.]py"
    "|/encodings/(?!__init__|aliases|ascii|cp437|cp1252|idna|latin_1|punycode|raw_|unicode_|utf_)"
)


def main(library: str, output: str) -> int:
    # Unchecked: files of an image do not change, so Python need not compare them at each start.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(library, quiet=2, workers=0, rx=EXCLUDED_MODULES, invalidation_mode=mode)
    for path in Path(library).rglob("__pycache__/*.pyc"):
        target = Path(output) / path.relative_to(library)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
