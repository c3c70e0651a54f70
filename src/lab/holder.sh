# PID 1 of a private lab, in namespaces of its own (network, mount, PID). $1: the lab's directory.
# Everything that runs in the lab is below this process, and ends with it.
cd "$1/libvirt"

# libvirt's places, all of them ours; /run also hides the host's D-Bus, so that no host service is asked.
mkdir -p etc run/host run/lab run/libvirt var/cache/libvirt var/log/libvirt
mkdir -p var/lib/libvirt/dnsmasq # libvirt keeps the bridge's MAC addresses there and does not make it
ln -sfn /run var/run

# The host's files stay within reach below /run/host: the store is read there.
mount --rbind / run/host
# libvirt looks for cgroups in every mount; one set of them is enough.
umount -R -l run/host/proc run/host/sys run/host/dev
mount --bind "$1" run/lab
mount --rbind run /run
mount --bind var /var
# Where the system's own libvirt was never installed there is no such directory, and the host stays as it is.
if [ ! -d /etc/libvirt ]; then
	mkdir -p etc-upper etc-work
	mount -t overlay -o lowerdir=/etc,upperdir=etc-upper,workdir=etc-work overlay /etc
	mkdir -p /etc/libvirt
fi
mount --bind etc /etc/libvirt
# Debian's QEMU driver starts only where it finds this user and group, which come with a package that also starts a
# system's libvirt. They stand for root, as whom the lab's machines run.
if [ -e drivers/libvirt_driver_qemu.so ]; then
	cp /etc/passwd /etc/group .
	grep -q ^libvirt-qemu: passwd || echo libvirt-qemu:x:0:0::/:/bin/false >>passwd
	grep -q ^libvirt-qemu: group || echo libvirt-qemu:x:0: >>group
	mount --bind passwd /etc/passwd
	mount --bind group /etc/group
fi
# libvirt 9 cannot use both cgroup versions at once and fails where it finds them.
if grep -q ' /sys/fs/cgroup/unified ' /proc/self/mounts; then umount /sys/fs/cgroup/unified; fi

ip link set lo up
echo ready
# Ignored, so that the kernel reaps the orphans that PID 1 inherits.
exec env --ignore-signal=CHLD sleep infinity >/dev/null
