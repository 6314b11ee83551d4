#!/usr/bin/env bash
# Builds a Debian package with everything but Python itself: privaedge, its dependencies as wheels,
# and the units. It installs without a network, on the architecture and the Python (3.x) that it
# was built with.
#
#   build_deb.sh PYTHON FOLDER     PYTHON needs pip; prints the path of the package
set -euo pipefail
umask 022

python=${1:?PYTHON is missing}
mkdir -p "${2:?FOLDER is missing}"
folder=$(cd "$2" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$here")
command -v dpkg-deb >/dev/null || { echo "build_deb.sh: dpkg-deb is missing." >&2; exit 1; }

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 0755 "$stage"
home=$stage/opt/privaedge
lib=$stage/usr/lib

"$python" -m pip wheel --quiet --disable-pip-version-check --no-input --only-binary av,numpy,onnx,onnxruntime,opencv-python-headless,cryptography,pocketsphinx --wheel-dir "$home/wheels" "$checkout[api]" >&2

for unit in "$here"/*.service; do
    install -D -m 0644 "$unit" "$lib/systemd/system/${unit##*/}"
done
install -D -m 0644 "$here/sysusers.d/privaedge.conf" "$lib/sysusers.d/privaedge.conf"
install -D -m 0644 "$here/tmpfiles.d/privaedge.conf" "$lib/tmpfiles.d/privaedge.conf"
install -D -m 0644 "$here/udev/60-privaedge-capture.rules" \
    "$lib/udev/rules.d/60-privaedge-capture.rules"
install -m 0755 "$here/environment.sh" "$home/environment.sh"
install -m 0644 "$here/privaedge.yaml" "$here/README.md" "$home/"
install -D -m 0644 "$checkout/LICENSE" "$stage/usr/share/doc/privaedge/copyright"
mkdir -p "$stage/usr/bin"
ln -s /opt/privaedge/venv/bin/privaedge "$stage/usr/bin/privaedge"

wheel=$(basename "$home"/wheels/privaedge-*.whl)
version=${wheel#privaedge-}
version=${version%%-*}
# Debian sorts 1.0~dev0 before 1.0, as Python does 1.0.dev0.
version=$(sed -E 's/\.?(a|b|rc|dev)([0-9]+)/~\1\2/g' <<<"$version")
read -r this next < <("$python" -c 'import sys; v = sys.version_info; print(f"3.{v[1]} 3.{v[1] + 1}")')
architecture=$(dpkg --print-architecture)

mkdir "$stage/DEBIAN"
install -m 0755 "$here"/debian/{postinst,prerm,postrm} "$stage/DEBIAN/"
cat >"$stage/DEBIAN/control" <<CONTROL
Package: privaedge
Version: $version
Architecture: $architecture
Maintainer: privaedge developers <root@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f1)
Depends: python3 (>= $this), python3 (<< $next), python3-venv, systemd, udev, ca-certificates, bash
Section: video
Priority: optional
Description: AI broadcast delay: no unjudged frame leaves
 Takes a camera or a stream, makes faces unrecognisable and sends it on, as a
 service that survives its world. Holds its Python dependencies as wheels.
CONTROL
(cd "$stage" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z |
    xargs -0 md5sum >DEBIAN/md5sums)

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$checkout" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
package=$folder/privaedge_${version}_$architecture.deb
# Wheels are compressed already.
dpkg-deb --root-owner-group -Znone --build "$stage" "$package" >/dev/null
echo "$package"
