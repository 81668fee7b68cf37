#!/usr/bin/env bash
# Gets OpenStack Swift, the real S3 server that `npm run test:real` runs: Debian's packages, as root. The exit code is 0
# where it is there in the end; where it can't be had, what is missing is said, and the code is 1.
set -uo pipefail
exec < /dev/null
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

is_there () {
  local file
  for file in /usr/bin/python3 /usr/bin/memcached /usr/bin/swift-{proxy,object,container,account}-server; do [ -x "$file" ] || return; done
}

# A machine without a network shall not wait long for one.
apt () { timeout 300 apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o APT::Sandbox::User=root "$@"; }

if is_there; then exit; fi
if ! command -v apt-get > /dev/null || [ "$(id -u)" -ne 0 ]; then echo 'Swift can only be had as root on Debian'; exit 1; fi

# The packages would start daemons, each on its usual port. Debian asks this file first.
policy=/usr/sbin/policy-rc.d
work=$(mktemp -d)
put_back () {
  rm -f "$policy"
  if [ -e "$work/policy" ] || [ -L "$work/policy" ]; then mv "$work/policy" "$policy"; fi
  rm -rf "$work"
}
trap put_back EXIT
trap 'exit 143' TERM INT HUP
if [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$work/policy"; fi
printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy" || exit 1

apt update || { echo 'the lists of packages can not be had'; exit 1; }
apt install -y --no-install-recommends swift-proxy swift-account swift-container swift-object memcached > "$work/log" 2>&1 || tail -n 3 "$work/log"
is_there || { echo 'Swift can not be had'; exit 1; }
