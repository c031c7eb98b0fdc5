# dracut for any machine.
dracut --quiet --no-hostonly --no-compress image "$release"
give <image
