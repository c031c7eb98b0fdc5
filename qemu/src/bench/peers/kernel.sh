# Outside of the chroot: $0 is the release, $1 the chroot, $2 the kernel's modules, $3 its image.
modules=$1/lib/modules/$0
[ ! -e "$modules/modules.dep.bin" ] || exit 0
rm -rf "$modules"
mkdir -p "$modules" "$1/boot"
cp -a "$2/." "$modules"
cp "$3" "$1/boot/vmlinuz-$0"
config=${3%/*}/config-$0
[ ! -e "$config" ] || cp "$config" "$1/boot"
chroot "$1" depmod "$0"
