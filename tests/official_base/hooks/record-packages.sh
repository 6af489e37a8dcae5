#!/bin/sh
# A hook of mmdebstrap's variant "extract": what dpkg and the packages' own scripts would have left,
# had they been executed. "$1" is the root; the packages are still in apt's cache.
set -eu
root="$1"
database="$root/var/lib/dpkg"
control="$root/tmp/control"

rm -rf "$database/info"
mkdir -p "$database/info"
for deb in "$root"/var/cache/apt/archives/*.deb; do
  name=$(dpkg-deb --show --showformat='${Package}:${Architecture}/${Multi-Arch}' "$deb")
  case "$name" in
    */same) name="${name%/*}" ;;
    *) name="${name%%:*}" ;;
  esac
  dpkg-deb --control "$deb" "$control"
  sed '/^Package: /a Status: install ok installed' "$control/control"
  echo
  rm "$control/control"
  for file in "$control"/*; do
    if [ -e "$file" ]; then mv "$file" "$database/info/$name.${file##*/}"; fi
  done
  rmdir "$control"
  dpkg-deb --fsys-tarfile "$deb" | tar --list --quoting-style=literal |
    sed -e 's|^[.]||' -e 's|\(.\)/$|\1|' -e 's|^/$|/.|' > "$database/info/$name.list"
done > "$database/status"

cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
mkdir -p "$root/etc/ssl/certs"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
