# Before each script: where the archive goes, and a place to work in.
exec 3>&1 >&2
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Packs the cpio archive on standard input.
give() { zstd -q -19 -T0 -c >&3; }

# The directory $1 as an archive.
archive() { (cd "$1" && find . ! -name . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0); }

