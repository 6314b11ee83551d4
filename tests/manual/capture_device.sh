#!/bin/sh
# Tests capture devices without hardware: Debian's kernel with its vivid and snd-aloop drivers in
# QEMU, emulated in software, with this machine's files (read-only) around them. Half a minute.
#
#   apt-get install qemu-system-x86 busybox-static cpio v4l-utils
#   . .venv/bin/activate && tests/manual/capture_device.sh [FOLDER]
#
# FOLDER keeps the kernel (70 MB, fetched by apt-get download) for the next time.
set -eu

checkout=$(cd "$(dirname "$0")/../.." && pwd)
python=$(command -v python)
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"

if ! ls linux-image-*.deb >/dev/null 2>&1; then
    package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2 }')
    apt-get download "$package"
fi
rm -rf kernel root
dpkg -x linux-image-*.deb kernel
version=$(ls kernel/lib/modules)
modules=lib/modules/$version

mkdir -p root/bin root/proc root/sys root/dev root/mnt "root/$modules"
cp "$(command -v busybox)" root/bin/
(
    cd "kernel/$modules"
    for part in drivers/virtio drivers/media drivers/i2c drivers/video drivers/gpu/drm net/9p \
        fs/9p fs/netfs fs/fscache lib sound/core sound/drivers sound/soundcore.ko; do
        [ ! -e "kernel/$part" ] || tar cf - "kernel/$part"
    done | (cd "$folder/root/$modules" && tar xif -)
    cp modules.* "$folder/root/$modules/"
)
busybox depmod -b "$folder/root" "$version"

cat >root/init <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in virtio_pci 9pnet_virtio 9p snd-aloop; do modprobe \$module; done
# Two devices: an HDMI receiver and a webcam, with one node for capturing each.
modprobe vivid n_devs=2 num_inputs=1,1 input_types=0x3,0x0 node_types=0x1,0x1 multiplanar=1,1
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /mnt
mount --bind /dev /mnt/dev; mount -t proc proc /mnt/proc; mount -t sysfs sys /mnt/sys
mount -t tmpfs tmp /mnt/tmp
chroot /mnt /bin/sh -c 'cd "$checkout" && PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    "$python" -m pytest -p no:cacheprovider --color=no -v -k "webcam or with_sound or pulled or unplugged" tests/media/test_devices.py && echo ALL-PASSED'
poweroff -f
END
chmod +x root/init
(cd root && find . | cpio -o -H newc 2>/dev/null | gzip -1) >initrd.gz

timeout 300 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 2048 -smp 2 \
    -kernel "kernel/boot/vmlinuz-$version" -initrd initrd.gz -nographic -no-reboot \
    -append "console=ttyS0 quiet panic=-1" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap |
    tee console.log
grep -q ALL-PASSED console.log
