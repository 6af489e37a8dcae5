#!/bin/sh
# A hook of mmdebstrap: turn a root with configured packages into a base image. All programs and
# libraries stay, since packages of image.system_packages may use any of them.
set -eu
root="$1" python="$3" compile="$4"
# shellcheck source=deploy/build/debian-python.sh
. "$(dirname "$0")/debian-python.sh"

find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -type l -delete
rm -rf "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/* "$root"/usr/share/lintian \
  "$root"/usr/share/zoneinfo/right
# Remove files that depend on the machine or on the time: equal packages must give equal files.
rm -rf "$root"/etc/apt/sources.list* "$root"/etc/apt/auth.conf* "$root"/etc/resolv.conf "$root"/etc/hostname \
  "$root"/var/lib/apt/lists "$root"/var/cache/apt "$root"/var/cache/debconf "$root"/var/cache/ldconfig \
  "$root"/var/log/* "$root"/var/lib/dpkg/*-old "$root"/var/backups/* "$root"/etc/*- "$root"/tmp/*
: > "$root/etc/machine-id"

trim_python
# Bytecode of the packages' own scripts is checked by times of files, which the archive does not keep.
find "$lib" -name __pycache__ -prune -exec rm -rf {} +
ln -sf "$python" "$root/usr/bin/python3"
echo 'flow:x:10001:10001:flow:/:/usr/sbin/nologin' >> "$root/etc/passwd"
echo 'flow:x:10001:' >> "$root/etc/group"
if [ "$compile" = yes ]; then compile_python; fi
