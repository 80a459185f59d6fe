#!/bin/sh
# Builds the stand-in program inside a Debian trixie tree that holds the packages of packages.build.
#
#   build.sh BUILDER_TREE OUT_DIR
#
# The tree is only read: the build happens on an overlay in a private mount namespace, which ends with this script,
# so nothing stays mounted and the tree stays as it was. Needs root, no network.
# STANDINS_GOCACHE=DIR keeps Go's build cache there between runs (cold about two minutes on two cores, warm seconds).
# STANDINS_VET=1 also runs gofmt and go vet, and fails on any finding.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 BUILDER_TREE OUT_DIR" >&2
    exit 2
fi
sources=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)

if [ ! -d "$tree/usr/share/gocode/src/github.com/canonical/go-dqlite" ]; then
    echo "$0: $tree has no go-dqlite: install the packages of $sources/packages.build there" >&2
    exit 1
fi

work=$(mktemp -d "${TMPDIR:-/var/tmp}/standins-build.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM HUP
mkdir "$work/upper" "$work/work" "$work/root" "$work/cache"
export sources tree out work
export cache="${STANDINS_GOCACHE:-$work/cache}"
mkdir -p "$cache"

unshare --mount --propagation private sh -eu <<'INSIDE'
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/work" "$work/root"
root=$work/root
mkdir -p "$root/gopath/src/two-node-ha/standins" "$root/gocache" "$root/out" "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$cache" "$root/gocache"
mount --bind "$out" "$root/out"
cp "$sources"/*.go "$sources/go.mod" "$root/gopath/src/two-node-ha/standins/"
# GO111MODULE=off: Debian's Go packages are a GOPATH tree. go.mod is still needed, for go to accept the /v2 in
# go-dqlite's import path. CGO_LDFLAGS_ALLOW: Debian's hardening flags come through pkg-config.
chroot "$root" /usr/bin/env -i \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp LANG=C.UTF-8 \
    GO111MODULE=off GOPATH=/gopath:/usr/share/gocode GOCACHE=/gocache GOTOOLCHAIN=local GOFLAGS=-p=2 \
    CGO_ENABLED=1 'CGO_LDFLAGS_ALLOW=-Wl,-z,now' VET="${STANDINS_VET:-}" \
    sh -euc '
        cd /gopath/src/two-node-ha/standins
        if [ -n "$VET" ]; then
            unformatted=$(gofmt -l .)
            if [ -n "$unformatted" ]; then
                gofmt -d . >&2
                exit 1
            fi
            go vet -tags libsqlite3 .
            go test -tags libsqlite3 .
        fi
        go build -trimpath -tags libsqlite3 -ldflags "-s -w" -o /out/standins.new .
        mv /out/standins.new /out/standins
    '
INSIDE
echo "$out/standins"
