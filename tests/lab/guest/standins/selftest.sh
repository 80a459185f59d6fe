#!/bin/bash
# Proves the stand-ins' contracts on this machine, without User Mode Linux and without systemd.
#
#   selftest.sh RUNTIME_TREE OUT_DIR [CASE…]
#
# RUNTIME_TREE is a Debian trixie tree with the packages of packages.run, OUT_DIR holds what build.sh made. Two nodes,
# haone and hatwo, get a network namespace and an overlay of the tree each. All of it lives in namespaces of this
# script's own and ends with it: no process, mount or interface stays. Needs root, curl, and iproute2.
# The last line is `N passed, N failed`; lines that begin with `measured` are numbers for README.md, never a verdict.
set -u

here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 2 ]; then
    echo "usage: $0 RUNTIME_TREE OUT_DIR [CASE…]" >&2
    exit 2
fi
if [ -z "${SELFTEST_INSIDE:-}" ]; then
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/standins-selftest.XXXXXX")
    if [ -n "${SELFTEST_KEEP:-}" ]; then
        echo "keeping $work"
    else
        trap 'rm -rf --one-file-system "$work"' EXIT
    fi
    tree=$(cd "$1" && pwd) && out=$(cd "$2" && pwd) || exit 2
    shift 2
    SELFTEST_INSIDE=1 WORK=$work TREE=$tree OUT=$out \
        unshare --mount --pid --net --fork --kill-child --mount-proc --propagation private "$0" - - "$@"
    exit
fi
shift 2
export HERE=$here
. "$here/selftest/lib.sh"
make_switch
cases=("$@")
if [ ${#cases[@]} -eq 0 ]; then
    for file in "$here"/selftest/[0-9]*.sh; do
        name=${file##*/}
        cases+=("${name%.sh}")
    done
fi
for name in "${cases[@]}"; do
    echo "== $name"
    . "$here/selftest/$name.sh"
    stop_all
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
