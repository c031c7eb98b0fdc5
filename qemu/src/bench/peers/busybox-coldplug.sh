# A shell script of a few lines as /init: busybox loads what the devices ask for, out of the modules that
# initramfs-tools takes for most machines.
mkinitramfs -c zstd -l 1 -o image "$release"
mkdir -p most root/bin root/dev root/proc root/sys root/root root/lib
zstd -dc image | (cd most && cpio --quiet -id)
cp -a most/usr/lib/modules root/lib/
cp /bin/busybox root/bin/
for applet in sh mount umount modprobe find xargs sort switch_root sleep cat; do
    ln -s busybox "root/bin/$applet"
done
mkdir root/sbin
ln -s ../bin/busybox root/sbin/modprobe
cat >root/init <<'END'
#!/bin/sh
export PATH=/bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for turn in 1 2 3; do
    find /sys/devices -name modalias -exec cat {} + | sort -u | xargs modprobe -abq
done
modprobe -q "$2"
until mount -o ro -t "$2" "$1" /root; do sleep 0.01; done
mount --move /dev /root/dev
mount --move /proc /root/proc
mount --move /sys /root/sys
exec switch_root /root /sbin/init
END
chmod 755 root/init
archive root | give
