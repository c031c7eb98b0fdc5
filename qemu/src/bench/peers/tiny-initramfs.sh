# tiny-initramfs, which inserts plain files in the order of a list and knows of no dependencies.
mktirfs --auto-modules=no --microcode=no -o image "$release"
mkdir root
(cd root && zcat ../image | cpio --quiet -id)
for module in $modules; do
    file=$(modinfo -k "$release" -n "$module")
    xzcat -f "$file" >"root/$module.ko"
    echo "/$module.ko"
done >root/modules
archive root | give
