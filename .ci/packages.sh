#!/usr/bin/env bash
# Installs what tests talk to, on Debian or Ubuntu and as root: nginx with its RTMP module and
# GStreamer's RTSP server, codecs in software that stand in for a Jetson's elements, a browser. Says in
# one line when it cannot and never fails: tests that miss something skip, and name it.
set -uo pipefail

servers=(nginx libnginx-mod-rtmp python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good)
# x264enc; h264parse and h265parse; avdec_h264 and avdec_h265.
codecs=(gstreamer1.0-plugins-ugly gstreamer1.0-plugins-bad gstreamer1.0-libav)
# The operator's page is tested in a browser.
browser=(chromium)
# CUDA kernels run on the CPU in tests.
compiler=(g++)

installed() { [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }
missing_of() { for package in "$@"; do installed "$package" || echo "$package"; done; }
give_up() { echo "live tests: $1; those without it skip"; exit 0; }

mapfile -t missing < <(missing_of "${servers[@]}" "${codecs[@]}" "${browser[@]}" "${compiler[@]}")
((${#missing[@]})) || exit 0
command -v apt-get >/dev/null || give_up "no apt-get for ${missing[*]}"
((EUID == 0)) || give_up "not root; sudo apt-get install --no-install-recommends ${missing[*]}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Acquire::Retries=1 -o Acquire::http::Timeout=10 -o DPkg::Lock::Timeout=20 \
        "$@" </dev/null >>"$log" 2>&1
}
failed() { give_up "$1 failed ($(grep -m1 '^E:' "$log" || tail -n1 "$log"))"; }

# Only what waits for a network has a time limit: dpkg must not be cut off in the middle.
export -f apt && export log
timeout 40 bash -c 'apt update' || failed "apt-get update"

# Debian starts a service as soon as it is installed. The tests run nginx themselves, on ports of
# their own; the machine's port 80 is not ours to open, now or after a reboot.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$log" "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
fi

# One after the other: the servers do not depend on whether the codecs can be had.
install() {
    mapfile -t missing < <(missing_of "$@")
    ((${#missing[@]})) || return 0
    timeout 90 bash -c 'apt --download-only install "$@"' _ "${missing[@]}" ||
        failed "download of ${missing[*]}"
    apt --no-download install "${missing[@]}" || failed "installation of ${missing[*]}"
    if [[ " ${missing[*]} " == *" nginx "* ]] && command -v systemctl >/dev/null; then
        systemctl disable --quiet nginx.service 2>/dev/null
    fi
}
install "${servers[@]}"
install "${codecs[@]}"
install "${browser[@]}"
install "${compiler[@]}"
exit 0
