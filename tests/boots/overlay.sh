#!/bin/busybox sh
# An init that writes to its root, reports what it found before and after, and ends the machine.
busybox() { /bin/busybox "$@"; }
busybox dmesg -n 1
echo "@MARKER@"
echo "== before"
busybox ls / | busybox grep written
busybox sed -n 1p /etc/inittab
echo "written" >/written
echo "changed" >/etc/inittab
busybox rm /etc/profile
echo "== after"
busybox cat /written /etc/inittab
[ -e /etc/profile ] || echo "no profile"
echo "== lower"
busybox ls /run/modstrap/lower | busybox grep written
busybox sed -n 1p /run/modstrap/lower/etc/inittab
echo "no" 2>/dev/null >/run/modstrap/lower/written || echo "read-only"
echo "== memory"
busybox df -k /run/modstrap/upper | busybox awk 'END { print $2 }'
echo "== mounts"
busybox cat /proc/mounts
echo "== kmsg"
busybox dmesg | busybox grep 'modstrap: '
echo "== end"
busybox sync
busybox poweroff -f
