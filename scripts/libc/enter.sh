#!/bin/sh
# Runs one command inside a chroot, with what a Node process expects to find there.
# Usage:    enter.sh ROOT REPOSITORY NODES COMMAND [ARGUMENT...]
# Runs as:  pid 1 of a mount and pid namespace that confined.mjs made. So nothing is unmounted by hand: the mounts and
#           every process of the run end with this shell, whichever way it ends.
# Calls:    mount(8), chroot(8). All is read-only except /tmp, /dev/shm and the ptys: a run leaves nothing behind.
set -eu
root=$1 repository=$2 nodes=$3
shift 3

mount -o bind,ro "$root" "$root"
mount -o bind,ro "$repository" "$root/mnt/atfork"
mount -o bind,ro "$nodes" "$root/mnt/node"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

# Not exec: this shell stays to reap orphans, as an init does. A pid 1 that does not would keep every orphan a zombie.
# env -i: NODE_OPTIONS and the like of the calling process do not belong in here.
status=0
set -- PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 "$@"
chroot "$root" /usr/bin/env -i -C /mnt/atfork "$@" || status=$?
exit "$status"
