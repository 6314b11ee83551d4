#!/usr/bin/env bash
# Installs privaedge as a service from a checkout. May be run again: it upgrades, and never touches
# a configuration that is there.
set -euo pipefail
umask 022

usage() {
    cat <<'TEXT'
sudo systemd/install.sh [--wheel FILE] [--wheels DIR] [--python PYTHON]
sudo systemd/install.sh --uninstall [--purge]

  --wheel FILE     install this wheel of privaedge instead of the checkout
  --wheels DIR     take everything from the wheels in DIR, nothing from the network
  --python PYTHON  the Python (3.11 or newer) to build the environment with; default: python3
  --uninstall      remove all but settings, models and the user
  --purge          with --uninstall: settings, models and caches too

DESTDIR=/some/root installs under another root (an image, a test) and starts nothing.
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${DESTDIR:-}
root=${root%/}
export DESTDIR=$root
python=python3 wheel='' wheels='' uninstall='' purge=''

die() { echo "install.sh: $*" >&2; exit 1; }
value() { [[ $# -ge 2 && -n $2 ]] || die "$1 wants a value. See --help."; }

while (($#)); do
    case $1 in
        --wheel) value "$@"; wheel=$2; shift ;;
        --wheels) value "$@"; wheels=$2; shift ;;
        --python) value "$@"; python=$2; shift ;;
        --uninstall) uninstall=1 ;;
        --purge) purge=1 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown argument $1." ;;
    esac
    shift
done
[[ -z $purge || -n $uninstall ]] || die "--purge goes with --uninstall."
((EUID == 0)) || die "must run as root. Try: sudo $0"
[[ -z $root || -d $root ]] || die "DESTDIR=$root is not a folder."

# Where a local administrator's units go: before the distribution's, behind /etc.
lib=$root/usr/local/lib
units=(privaedge.service privaedge@.service privaedge-boot.service privaedge-export.service
    privaedge-cooldown@.service)

# What talks to the running system, not to a DESTDIR.
live() { [[ -z $root && -d /run/systemd/system ]]; }

reload() {
    live || return 0
    systemctl daemon-reload
    udevadm control --reload 2>/dev/null || true
    udevadm trigger --subsystem-match=video4linux 2>/dev/null || true
}

if [[ -n $uninstall ]]; then
    if live; then
        systemctl disable --now --quiet privaedge.service privaedge-boot.service \
            privaedge-export.service 2>/dev/null || true
        systemctl stop --quiet 'privaedge@*.service' 'privaedge-cooldown@*.service' || true
        for link in /etc/systemd/system/*.wants/privaedge@*.service; do
            [[ -L $link ]] && rm -f "$link"
        done
    fi
    for unit in "${units[@]}"; do rm -f "$lib/systemd/system/$unit"; done
    rm -f "$lib/sysusers.d/privaedge.conf" "$lib/tmpfiles.d/privaedge.conf" \
        "$lib/udev/rules.d/60-privaedge-capture.rules" "$root/usr/local/bin/privaedge"
    rm -rf "$root/opt/privaedge"
    reload
    if [[ -n $purge ]]; then
        rm -rf "$root/etc/privaedge" "$root/var/lib/privaedge" "$root/var/cache/privaedge"
        echo "privaedge is removed, settings and models too. The user privaedge stays."
    else
        echo "privaedge is removed. /etc/privaedge and /var/lib/privaedge stay; --purge removes them."
    fi
    exit 0
fi

[[ ! -e $root/usr/lib/systemd/system/privaedge.service ]] ||
    die "the Debian package privaedge is installed. Remove it first: apt-get remove privaedge"

target=$wheel
if [[ -z $target ]]; then
    target=$(dirname "$here")
    [[ -f $target/pyproject.toml ]] || die "$target is no checkout of privaedge. Use --wheel FILE."
fi
[[ -e $target ]] || die "$target does not exist."
# With the operator's page and API.
target+="[api]"
arguments=("$target")
if [[ -n $wheels ]]; then
    [[ -d $wheels ]] || die "--wheels $wheels is not a folder."
    arguments=(--no-index --find-links "$wheels" "$target")
fi
bash "$here/environment.sh" "$python" "${arguments[@]}"

for unit in "${units[@]}"; do install -D -m 0644 "$here/$unit" "$lib/systemd/system/$unit"; done
install -D -m 0644 "$here/sysusers.d/privaedge.conf" "$lib/sysusers.d/privaedge.conf"
install -D -m 0644 "$here/tmpfiles.d/privaedge.conf" "$lib/tmpfiles.d/privaedge.conf"
install -D -m 0644 "$here/udev/60-privaedge-capture.rules" \
    "$lib/udev/rules.d/60-privaedge-capture.rules"
install -D -m 0644 "$here/README.md" "$root/opt/privaedge/README.md"
install -D -m 0644 "$here/privaedge.yaml" "$root/opt/privaedge/privaedge.yaml"
mkdir -p "$root/usr/local/bin"
ln -sfn /opt/privaedge/venv/bin/privaedge "$root/usr/local/bin/privaedge"

systemd-sysusers ${root:+--root="$root"} privaedge.conf
mkdir -p "$root/etc/privaedge"
if [[ ! -e $root/etc/privaedge/privaedge.yaml ]]; then
    install -m 0640 "$here/privaedge.yaml" "$root/etc/privaedge/privaedge.yaml"
    fresh=1
fi
# Sets owner and mode of all of it, settings too.
systemd-tmpfiles ${root:+--root="$root"} --create privaedge.conf
reload
if live; then systemctl try-restart privaedge.service 'privaedge@*.service'; fi

if [[ -n ${fresh:-} ]]; then
    echo "privaedge is installed. Next: write source and outputs into /etc/privaedge/privaedge.yaml, then"
    echo "  systemctl enable --now privaedge-boot privaedge"
    if [[ -z $root ]]; then
        echo "The operator's page will be at http://127.0.0.1:8484/, its token is"
        echo "  $("$root/opt/privaedge/venv/bin/privaedge" token)"
    fi
else
    echo "privaedge is upgraded; /etc/privaedge/privaedge.yaml is as it was."
fi
