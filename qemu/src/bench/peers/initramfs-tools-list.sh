# initramfs-tools with the machine's modules alone.
cp -a /etc/initramfs-tools conf
sed -i 's/^MODULES=.*/MODULES=list/' conf/initramfs.conf
printf '%s\n' $modules >conf/modules
mkinitramfs -d "$work/conf" -c zstd -l 1 -o image "$release"
zstd -dc image | give
