# initramfs-tools as Debian configures it: for most machines.
mkinitramfs -c zstd -l 1 -o image "$release"
zstd -dc image | give
