#!/bin/sh
# A hook of mmdebstrap: reduce the extracted packages in "$1" to the files that a Python program needs.
# No shell and no package manager remain. The standard library is compiled, since images are read-only.
set -eu
root="$1" suite="$2" python="$3" compile="$4"
# shellcheck source=deploy/build/debian-python.sh
. "$(dirname "$0")/debian-python.sh"

# From Debian 13 on, all files of packages are below /usr, and packages rely on these links.
for folder in bin sbin lib lib64; do
  if [ ! -e "$root/$folder" ] && [ -d "$root/usr/$folder" ]; then ln -s "usr/$folder" "$root/$folder"; fi
done

find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -type l -delete
rm -rf "$root"/usr/share/man "$root"/usr/share/locale "$root"/usr/share/info "$root"/usr/share/lintian \
  "$root"/usr/share/bug "$root"/usr/share/debconf "$root"/usr/share/perl* "$root"/usr/share/dpkg \
  "$root"/usr/share/polkit-1 "$root"/usr/share/readline "$root"/usr/share/applications \
  "$root"/usr/share/pixmaps "$root"/usr/share/gcc "$root"/usr/share/gdb \
  "$root"/usr/lib/*/perl-base "$root"/usr/lib/dpkg "$root"/usr/lib/apt "$root"/usr/libexec "$root"/etc/apt/sources.list* "$root"/etc/dpkg \
  "$root"/etc/apt/apt.conf.d/70debconf \
  "$root"/etc/cron.daily "$root"/etc/logrotate.d "$root"/etc/alternatives "$root"/etc/ca-certificates "$root"/etc/debconf.conf \
  "$root"/etc/rmt "$root"/etc/gss "$root"/etc/netconfig "$root"/etc/fstab "$root"/etc/resolv.conf "$root"/etc/hostname "$root"/var/log "$root"/lib/systemd "$root"/usr/lib/systemd \
  "$root"/etc/default "$root"/etc/bindresvport.blacklist "$root"/var/cache/debconf \
  "$root"/usr/share/bash-completion "$root"/usr/share/binfmts "$root"/usr/lib/binfmt.d "$root"/usr/lib/mime "$root"/usr/lib/ssl/misc \
  "$root"/usr/lib/*/engines-3 "$root"/usr/lib/*/krb5

# Character set conversions of the C library (gconv): 8 MB that a server of UTF-8 does not need.
rm -rf "$root"/usr/lib/*/gconv
# Time zones that count leap seconds.
rm -rf "$root/usr/share/zoneinfo/right"

for folder in bin sbin usr/bin usr/sbin; do
  if [ -d "$root/$folder" ] && [ ! -L "$root/$folder" ]; then
    find "$root/$folder" -mindepth 1 ! -name "$python" -delete
  fi
done
ln -sf "$python" "$root/usr/bin/python3"

trim_python

# Remove libraries that no remaining file is linked to. The libraries that wheels may rely on (PEP 600)
# stay: those of the C library, libgcc, libstdc++, libz and libexpat.
libraries() { find "$root/lib/" "$root/usr/lib/" -name 'lib*.so*' -path '*-linux-gnu*' "$@"; }
index="$root/tmp/linked"
mkdir -p "$root/tmp"
find "$root/lib/" "$root/usr/lib/" "$root/usr/bin/" -type f \( -name '*.so*' -o -name "$python" \) |
  LC_ALL=C xargs grep -aoHE 'lib[A-Za-z0-9_+-]+(\.[0-9]+)*\.so(\.[0-9]+)*' > "$index"
again=yes
while [ "$again" ]; do
  again=
  for file in $(libraries -type f ! -name 'libc.so*' ! -name 'libc_*' ! -name 'libm.so*' ! -name 'libmvec.so*' \
    ! -name 'libdl.so*' ! -name 'librt.so*' ! -name 'libpthread.so*' ! -name 'libutil.so*' ! -name 'libnsl.so.1' \
    ! -name 'libresolv.so*' ! -name 'libanl.so*' ! -name 'libnss_*' ! -name 'libgcc_s.so*' ! -name 'libstdc++.so*' \
    ! -name 'libz.so*' ! -name 'libexpat.so*'); do
    names=$(libraries -type l -lname "$(basename "$file")" -printf '%f\n'; basename "$file")
    # Does another file contain one of its names?
    if ! grep -vF "$file:" "$index" | cut -d: -f2 | grep -qxF "$names"; then
      rm "$file"
      libraries -type l -lname "$(basename "$file")" -delete
      grep -vF "$file:" "$index" > "$index.new" || true
      mv "$index.new" "$index"
      again=yes
    fi
  done
done
rm "$index"

# The package's own script does the same, but needs a shell and perl in the image.
mkdir -p "$root/etc/ssl/certs"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root/usr/share/ca-certificates"

# Write dpkg's database for scanners, where every Debian has it (and Python's official image): each
# package that still has a file other than documentation, and its files. Checksums are needed only for
# programs and libraries: scanners also recognise these by their content, and use the checksums to
# assign them to their packages, so that they are not listed twice.
database="$root/var/lib/dpkg"
files="$root/tmp/files"
rm -rf "$database"
mkdir -p "$database/info"
for deb in "$root"/var/cache/apt/archives/*.deb; do
  package=$(dpkg-deb --field "$deb" Package)
  dpkg-deb --fsys-tarfile "$deb" | tar --list --quoting-style=literal | sed 's|^[.]||' | LC_ALL=C sort |
    while IFS= read -r path; do
      if [ -L "$root$path" ] || [ -f "$root$path" ]; then echo "$path"; fi
    done > "$files"
  if [ "$package" = ca-certificates ]; then echo /etc/ssl/certs/ca-certificates.crt >> "$files"; fi
  if grep -qv '^/usr/share/doc/' "$files"; then
    cp "$files" "$database/info/$package.list"
    while IFS= read -r path; do
      case "$path" in
        "/usr/bin/$python" | *.so | *.so.*) if [ ! -L "$root$path" ]; then (cd "$root" && md5sum "${path#/}"); fi ;;
      esac
    done < "$files" > "$database/info/$package.md5sums"
    echo "Package: $package"
    echo 'Status: install ok installed'
    dpkg-deb --field "$deb" Source Version Architecture Maintainer Pre-Depends Depends
    echo
  fi
done > "$database/status"
find "$database/info" -empty -delete
rm "$files"

printf 'root:x:0:0:root:/:/none\nflow:x:10001:10001:flow:/:/none\n' > "$root/etc/passwd"
printf 'root:x:0:\nflow:x:10001:\n' > "$root/etc/group"
mkdir -p "$root/tmp" "$root/proc" "$root/sys" "$root/dev" "$root/run"
chmod 1777 "$root/tmp"

# Scanners find the known vulnerabilities of packages by the number of the release.
case "$suite" in bookworm) release=12 ;; trixie) release=13 ;; esac
printf 'ID=debian\nNAME="Debian GNU/Linux"\nVERSION_ID="%s"\nVERSION_CODENAME=%s\n' \
  "$release" "$suite" > "$root/etc/os-release"
echo "$release" > "$root/etc/debian_version"

if [ "$compile" = yes ]; then compile_python; fi
