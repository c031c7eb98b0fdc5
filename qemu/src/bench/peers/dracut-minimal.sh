# dracut with the machine's modules and no more of itself than a local root takes.
dracut --quiet --no-hostonly --no-compress --modules 'base kernel-modules rootfs-block udev-rules fs-lib' \
    --drivers "$modules" --force-drivers "$modules" image "$release"
give <image
