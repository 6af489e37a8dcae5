#!/bin/sh
# Become the root of a mount namespace of its own, and run a command there as in a machine of its own.
# usage: enter.sh LOWER STATE COMMAND...
# LOWER is a root file system that stays as it is; STATE has the folders upper, work, root, data and
# engine. Containers need real file systems for their layers, so `data` is no part of the overlay.
# A chroot does not do: what is executed in a running container would start at the machine's root.
set -eu
lower="$1" state="$2"
shift 2
root="$state/root"

mount -t overlay overlay -o "lowerdir=$lower,upperdir=$state/upper,workdir=$state/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/data" "$root/engine" "$root/machine"
mount --bind "$state/data" "$root/data"
mount --bind "$state/engine" "$root/engine"
for file in resolv.conf hosts; do
  if [ -e "/etc/$file" ]; then cp -L "/etc/$file" "$root/etc/$file"; fi
done

cd "$root"
pivot_root . machine
# Its processes are all in a namespace for processes, too: the first one takes them along when it ends.
umount --lazy /machine
exec tini -g -- "$@"
