#!/bin/sh
# Functions for Python's standard library that both hooks of mmdebstrap source, with $root and $python set.
# shellcheck disable=SC2154
lib="$root/usr/lib/$python"

# Remove modules that no server imports.
trim_python() {
  rm -rf "$lib"/test "$lib"/idlelib "$lib"/turtledemo "$lib"/tkinter "$lib"/lib2to3 "$lib"/ensurepip \
    "$lib"/pydoc_data "$lib"/distutils "$lib"/config-* "$lib"/__pycache__

  # Modules for terminals, for old Unix services, and for testing Python itself.
  (
    cd "$lib/lib-dynload" || exit
    rm -f _dbm.* _gdbm.* nis.* readline.* _curses.* _curses_panel.* ossaudiodev.* \
      _test*.so _ctypes_test.* _xxtestfuzz.* xxlimited*.so
  )
}

# Compile the standard library, since images are read-only.
compile_python() {
  # Excluded are modules that hardly any server imports: interactive tools, old protocols, modules with
  # an equivalent in C, and tables of rarely used encodings. Python compiles these when they are imported.
  rare='/(_pydecimal|_pyio|aifc|bdb|cgi|cgitb|cmd|doctest|imaplib|mailbox|modulefinder|nntplib|optparse|pdb|pickletools'
  rare="$rare|poplib|profile|pstats|pydoc|smtpd|sunau|telnetlib|timeit|trace|turtle|wave|_osx_support|ctypes/_aix"
  rare="$rare|ctypes/wintypes|asyncio/(proactor_events|windows_\w+)|_sysconfigdata\w*)[.]py|/(curses|venv|wsgiref|xmlrpc)/"
  rare="$rare|/encodings/(?!__init__|aliases|ascii|cp437|cp1252|idna|latin_1|punycode|raw_|unicode_|utf_)"
  # -B: modules that are imported here leave no bytecode with times, whatever the user's environment says.
  PYTHONHASHSEED=0 chroot "$root" "/usr/bin/$python" -B -m compileall -q -x "$rare" \
    --invalidation-mode unchecked-hash "/usr/lib/$python"
}
