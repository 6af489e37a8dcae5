#!/bin/sh
# A hook of mmdebstrap: from the extracted packages in "$1", keep what a Python program needs to run.
# No shell, no package manager; the standard library compiled, as nothing can be written later.
set -eu
root="$1" suite="$2" python="$3" compile="$4"
lib="$root/usr/lib/$python"

# From Debian 13 on, packages have all below /usr and count on these links.
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
  "$root"/etc/cron.daily "$root"/etc/logrotate.d "$root"/etc/alternatives "$root"/etc/ca-certificates "$root"/etc/debconf.conf \
  "$root"/etc/rmt "$root"/etc/gss "$root"/etc/netconfig "$root"/etc/fstab "$root"/etc/resolv.conf "$root"/etc/hostname "$root"/var/log "$root"/lib/systemd "$root"/usr/lib/systemd

# Encodings of other writing systems for files, not for text: 8 MB that no server of JSON reads.
rm -rf "$root"/usr/lib/*/gconv

for folder in bin sbin usr/bin usr/sbin; do
  if [ -d "$root/$folder" ] && [ ! -L "$root/$folder" ]; then
    find "$root/$folder" -mindepth 1 ! -name "$python" -delete
  fi
done
ln -sf "$python" "$root/usr/bin/python3"

rm -rf "$lib"/test "$lib"/idlelib "$lib"/turtledemo "$lib"/tkinter "$lib"/lib2to3 "$lib"/ensurepip \
  "$lib"/pydoc_data "$lib"/distutils "$lib"/config-* "$lib"/__pycache__

# The package's own script would do this, with a shell and perl in the image.
mkdir -p "$root/etc/ssl/certs"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root/usr/share/ca-certificates"

printf 'root:x:0:0:root:/:/none\nflow:x:10001:10001:flow:/:/none\n' > "$root/etc/passwd"
printf 'root:x:0:\nflow:x:10001:\n' > "$root/etc/group"
mkdir -p "$root/tmp" "$root/proc" "$root/sys" "$root/dev" "$root/run"
chmod 1777 "$root/tmp"

printf 'ID=debian\nNAME="Debian GNU/Linux"\nVERSION_CODENAME=%s\n' "$suite" > "$root/etc/os-release"

if [ "$compile" = yes ]; then
  PYTHONHASHSEED=0 chroot "$root" "/usr/bin/$python" -m compileall -q --invalidation-mode unchecked-hash "/usr/lib/$python"
fi
