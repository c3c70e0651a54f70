# Another host's sshd, inside a private lab that plays the host. $1: a root file system that has one; $2: keys and
# configuration. Runs in a mount namespace of its own, so that nothing is written into either.
mount -t tmpfs tmpfs "$1/run"
mkdir "$1/run/libvirt" "$1/run/sshd" "$1/run/sshd-test"
mount --bind /run/libvirt "$1/run/libvirt"
mount --bind "$2" "$1/run/sshd-test"
mount --bind /proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot "$1" /usr/sbin/sshd -D -e -f /run/sshd-test/sshd_config
