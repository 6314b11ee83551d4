#!/usr/bin/env bash
# Builds the service's Python environment in a folder of its own under /opt/privaedge/releases,
# tries it, and only then lets the link /opt/privaedge/venv point to it. A failure leaves what is
# there as it was; a running service keeps its files until it is restarted.
#
#   environment.sh PYTHON PIP-ARGUMENT...     what `pip install` is to install, and from where
#
# DESTDIR puts the result under another root, where it works once that is the root folder.
set -euo pipefail
umask 022

python=${1:?PYTHON is missing}
shift
root=${DESTDIR:-}
home=/opt/privaedge
name="$(date -u +%Y%m%dT%H%M%SZ)-$$"
release="$root$home/releases/$name"

die() { echo "privaedge: $*" >&2; exit 1; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "$python is not Python 3.11 or newer. Install one and name it with --python."
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$python has no venv. On Debian and Ubuntu: apt-get install python3-venv."

mkdir -p "$root$home/releases"
trap 'rm -rf "$release"' EXIT
"$python" -m venv "$release"
"$release/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
"$release/bin/python" -m pip --quiet --disable-pip-version-check check
"$release/bin/privaedge" --version >/dev/null || die "what was installed does not start."
if [[ -n $root ]]; then
    grep -lIr --include='*' "^#!$release/" "$release/bin" |
        xargs -r sed -i "1s|^#!$release/|#!$home/releases/$name/|"
fi
trap - EXIT

before=$(readlink "$root$home/venv" || true)
ln -sfn "releases/$name" "$root$home/venv.new"
mv -T "$root$home/venv.new" "$root$home/venv"
# The one before stays for the service that still runs from it, and to go back to.
for old in "$root$home/releases"/*/; do
    old=${old%/}
    [[ $old == "$release" || "releases/${old##*/}" == "$before" ]] || rm -rf "$old"
done
