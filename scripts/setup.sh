#!/bin/sh
# Makes the virtual environment, and installs system tools that are missing where that is allowed.
# Usage: setup.sh PYTHON VENV [GROUP]; the group `browser` is the browser that reports are tested in.
set -eu
python=$1
venv=$2
group=${3:-}

need() {
    # need PROGRAM PACKAGE: installs a system package if the program is not there.
    command -v "$1" >/dev/null 2>&1 && return
    install_package "$2" "the program $1"
}

install_package() {
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo='sudo -n'; fi
    if command -v apt-get >/dev/null 2>&1 && $sudo true 2>/dev/null; then
        echo "installing $1 (for $2)"
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1" >/dev/null 2>&1 ||
            { $sudo apt-get update -q >/dev/null && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1" >/dev/null; }
    else
        echo "setup: $2 is missing; install the package $1" >&2
        exit 1
    fi
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "setup: $python is $("$python" -V 2>&1), Python 3.11 or newer is needed; try make PYTHON=python3.12" >&2; exit 1; }
if [ "$group" = browser ]; then
    need chromium chromium
    need pdftotext poppler-utils
    exit 0
fi
need git git
"$python" -c 'import ensurepip, venv' 2>/dev/null || install_package python3-venv "the module venv of $python"
if [ "$group" = dev ]; then
    # Independent tools that the tests compare with.
    need zstd zstd
    need openssl openssl
    need ssh-keygen openssh-client
    need bsdtar libarchive-tools
    need strace strace
    # What lets system calls fail in the fault tests is compiled there.
    need cc gcc
    [ -e /usr/include/dlfcn.h ] || install_package libc6-dev 'the headers of the C library'
    need mkfs.ext4 e2fsprogs
fi
if [ "$group" = bench ]; then
    # What repropack is measured against.
    need time time
    need zstd zstd
    need openssl openssl
    need zip zip
    need borg borgbackup
    need restic restic
    need git-annex git-annex
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"
if [ -z "$group" ]; then
    # Dependency groups (PEP 735) need pip 25.1.
    $pip install --quiet --upgrade 'pip>=25.1'
    # setuptools warns that folders may shadow an editable install; none here does.
    PYTHONWARNINGS=ignore $pip install --quiet --editable '.[sandbox]'
else
    $pip install --quiet --group "$group"
fi
if [ "$group" = dev ]; then
    # One file of it is used; the browser that it would bring is Debian's here.
    $pip install --quiet --no-deps --group accessibility
fi
