#!/usr/bin/env bash
# Gets the programs that tests look with and that are missing here: curl, jq, a browser, nginx, promtool. Debian's packages, as
# root. Nothing that goes wrong here ends the build: tests that find one missing are skipped, and .ci/count-tests.mjs counts that.
#
#   .ci/install-tools.sh DIRECTORY
#
# nginx and Prometheus would start daemons where they are installed, so they are only unpacked, into DIRECTORY. Standard
# output has the directories to be put on PATH, separated by colons; what there is to say goes to standard error.
set -uo pipefail

if [ $# -ne 1 ]; then echo "usage: $0 DIRECTORY" >&2; exit 2; fi
exec 3>&1 1>&2 < /dev/null
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

has () { command -v "$1" > /dev/null; }

# A machine without a network shall not wait long for one.
apt () { timeout 300 apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o APT::Sandbox::User=root "$@"; }

install () { # PACKAGE...
  apt install -y --no-install-recommends "$@" > "$directory/apt.log" 2>&1 || { tail -n 3 "$directory/apt.log"; false; }
}

unpack () { # PACKAGE PROGRAM, its path in the package
  local to="$directory/$1"
  mkdir -p "$to" && (cd "$to" && apt download "$1") && dpkg-deb -x "$to"/*.deb "$to" && rm "$to"/*.deb || return
  if ! "$to/$2" -h > /dev/null 2>&1; then
    # Libraries start nothing, so those that it lacks can be installed.
    local libraries
    libraries=$(apt-cache depends --important "$1" | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p')
    # shellcheck disable=SC2086 # one word each
    install $libraries && "$to/$2" -h > /dev/null 2>&1 || return
  fi
  path="${path:+$path:}$to/$(dirname "$2")"
}

missing=()
for tool in curl jq chromium nginx promtool; do has "$tool" || missing+=("$tool"); done
if [ ${#missing[@]} -eq 0 ]; then exit; fi
echo "missing: ${missing[*]}"
if ! has apt-get || [ "$(id -u)" -ne 0 ]; then echo 'they can only be had as root on Debian'; exit; fi

mkdir -p "$1" || exit 0
directory=$(cd "$1" && pwd)
path=
apt update || { echo 'the lists of packages can not be had'; exit 0; }
for tool in "${missing[@]}"; do
  case $tool in
    nginx) unpack nginx usr/sbin/nginx ;;
    promtool) unpack prometheus usr/bin/promtool ;;
    *) install "$tool" ;;
  esac || echo "$tool can not be had"
done
echo "$path" >&3
