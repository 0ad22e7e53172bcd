#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A PC/SC service of one's own, with virtual readers: for tests and demonstrations.
#
# Debian's pcscd is run in namespaces of its own, so that it neither needs root nor touches, or is touched by, a
# pcscd of the system, its configuration or the readers that are plugged in:
#
#   - a mount namespace, because pcscd's socket path (/run/pcscd) is compiled in: a folder of DIR is mounted there. The
#     socket therefore also appears in DIR, and programs outside reach it by PCSCLITE_CSOCK_NAME;
#   - a network namespace, because the virtual reader (vsmartcard-vpcd) listens on every address. Only programs started
#     with "exec" are in it: virtual cards. Everything else stays where 127.0.0.1 is the ordinary one;
#   - a user namespace, because the two above need a root, and this one is only root in there.
#
# The bundles of real drivers are hidden, so that no real reader is taken.

set -euo pipefail

usage() {
    cat <<'USAGE'
usage: pcsc.sh start [--owner PID] DIR   start pcscd with two virtual readers
       pcsc.sh env DIR             print the line that makes PC/SC programs of this shell use it
       pcsc.sh exec DIR PROGRAM…   run PROGRAM where the virtual readers listen (a virtual card)
       pcsc.sh port DIR READER     print the port of a virtual reader (0 or 1), on 127.0.0.1 for "exec"
       pcsc.sh restart DIR         end pcscd and start it again; virtual cards must connect again
       pcsc.sh kill DIR            end pcscd only
       pcsc.sh stop DIR            end everything that start began; what "exec" runs is the caller's to end

DIR is an existing folder with a short path (a socket's path has at most 107 characters). With --owner, everything ends
by itself within a second after the process PID has.
Exit status: 0 done, 1 failed, 2 wrong use, 77 this system does not allow it (the reason is printed).
USAGE
}

say() { printf 'pcsc: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
cannot() { say "not possible here: $*"; exit 77; }

first_port=35963    # 0x8C7B; the driver takes it and the next one for its two slots

alive() { [[ -n ${1-} ]] && kill -0 "$1" 2> /dev/null; }
pid_in() { cat "$dir/$1.pid" 2> /dev/null || true; }

# end NAME: asks the process to end, insists after a second (pcscd may hang in a driver; it keeps nothing), forgets it.
end() {
    local pid i
    pid=$(pid_in "$1")
    if alive "$pid"; then
        kill "$pid" 2> /dev/null || true
        for ((i = 0; i < 20; i++)); do
            alive "$pid" || break
            sleep 0.05
        done
        ! alive "$pid" || kill -KILL "$pid" 2> /dev/null || true
    fi
    rm -f "$dir/$1.pid"
}

# Which namespaces this system allows; the first line of what is left in the folder tells "exec" how to enter them.
find_way() {
    local why
    for tool in unshare nsenter ip mount; do
        command -v $tool > /dev/null || cannot "$tool is missing: run scripts/packages run"
    done
    command -v pcscd > /dev/null || cannot "pcscd is missing: run scripts/packages run"
    [[ -e /usr/lib/pcsc/drivers/serial/libifdvpcd.so ]] || cannot "vsmartcard-vpcd is missing: run scripts/packages run"
    if why=$(unshare --user --map-root-user --mount --net true 2>&1); then
        echo user > "$dir/way"
    elif [[ $(id -u) -eq 0 ]] && why=$(unshare --mount --net true 2>&1); then
        echo root > "$dir/way"
    else
        cannot "the kernel forbids namespaces ($why); allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1" \
            "or user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0), or run as root"
    fi
}

enter() {
    local holder ways=(--net)
    holder=$(pid_in holder)
    alive "$holder" || die "$dir: nothing runs there; start it first"
    [[ $(cat "$dir/way") = root ]] || ways+=(--user --preserve-credentials)
    exec nsenter --target "$holder" "${ways[@]}" "$@"
}

# One entry of the driver, which is one reader with two slots; its slots are global, so a second entry would share them.
write_readers() {
    mkdir -p "$dir/readers"
    printf 'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:0x%X\nLIBPATH /usr/lib/pcsc/drivers/serial/libifdvpcd.so\nCHANNELID 0x%X\n' \
        $first_port $first_port > "$dir/readers/virtual"
}

# Runs inside: makes /run/pcscd, then only keeps the namespaces while its owner lives.
hold='
    set -eu
    cd "$1"
    mount -t tmpfs -o mode=755 none /run
    mkdir /run/pcscd /run/readers
    mount --no-canonicalize --bind pcscd /run/pcscd
    mount --no-canonicalize --bind readers /run/readers
    for bundle in /usr/lib/pcsc/drivers/*.bundle; do
        [ ! -d "$bundle" ] || mount -t tmpfs none "$bundle"
    done
    ip link set lo up
    : > held
    trap "exit 0" TERM
    while [ -z "$2" ] || kill -0 "$2" 2> /dev/null; do
        sleep 1 & wait $! || true
    done
    [ ! -e pcscd.pid ] || kill -KILL "$(cat pcscd.pid)"
'

wait_for() {
    local i
    for ((i = 0; i < 100; i++)); do
        [[ ! -e $1 ]] || return 0
        alive "$2" || return 1
        sleep 0.05
    done
    return 1
}

start_pcscd() {
    local ways=(--mount --net)
    [[ $(cat "$dir/way") = root ]] || ways+=(--user --preserve-credentials)
    rm -f "$dir/pcscd/pcscd.comm" "$dir/pcscd/pcscd.pid"
    nsenter --target "$(pid_in holder)" "${ways[@]}" pcscd --foreground --config /run/readers \
        >> "$dir/pcscd.log" 2>&1 < /dev/null &
    echo $! > "$dir/pcscd.pid"
    wait_for "$dir/pcscd/pcscd.comm" "$(pid_in pcscd)" || { cat "$dir/pcscd.log" >&2; die "pcscd did not start"; }
}

start() {
    local owner=
    while [[ ${1-} = --* ]]; do
        case $1 in
            --owner) owner=${2:?}; shift 2 ;;
            *) usage >&2; exit 2 ;;
        esac
    done
    open_dir "${1-}"
    ! alive "$(pid_in holder)" || die "$dir: it runs there already"
    ((${#dir} <= 90)) || die "$dir: the path is too long for a socket in it; choose a shorter one"
    find_way
    mkdir -p "$dir/pcscd"
    rm -f "$dir/held"
    write_readers
    local ways=(--mount --net)
    [[ $(cat "$dir/way") = root ]] || ways+=(--user --map-root-user)
    unshare "${ways[@]}" bash -c "$hold" hold "$dir" "$owner" > "$dir/holder.log" 2>&1 < /dev/null &
    echo $! > "$dir/holder.pid"
    wait_for "$dir/held" "$(pid_in holder)" || { cat "$dir/holder.log" >&2; end holder; die "the namespaces could not be set up"; }
    start_pcscd
}

open_dir() {
    [[ -n $1 && -d $1 ]] || { say "name an existing folder"; usage >&2; exit 2; }
    dir=$(cd "$1" && pwd)
}

command=${1-}
[[ $# -eq 0 ]] || shift
case $command in
    start) start "$@" ;;
    env) open_dir "${1-}"; printf 'export PCSCLITE_CSOCK_NAME=%q\n' "$dir/pcscd/pcscd.comm" ;;
    exec) open_dir "${1-}"; shift; [[ $# -gt 0 ]] || { usage >&2; exit 2; }; enter "$@" ;;
    port) open_dir "${1-}"
        [[ ${2-} = [01] ]] || { say "a reader is 0 or 1"; exit 2; }
        echo $((first_port + $2)) ;;
    restart) open_dir "${1-}"; end pcscd; start_pcscd ;;
    kill) open_dir "${1-}"; end pcscd ;;
    stop) open_dir "${1-}"; end pcscd; end holder ;;
    --help|-h) usage ;;
    *) usage >&2; exit 2 ;;
esac
