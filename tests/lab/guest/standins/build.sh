#!/bin/sh
# Builds the stand-in programs inside a Debian trixie tree that holds the packages of packages.build.
#
#   build.sh BUILDER_TREE OUT_DIR
#
# OUT_DIR gets standins, and k8sd over the real microcluster. The tree is only read: the build happens on an overlay in a
# private mount namespace, which ends with this script, so nothing stays mounted and the tree stays as it was.
# Needs root, and Go's module proxy while modules are missing: GOPROXY and the proxies of the environment hold. Each
# module is checked against go.sum.
# STANDINS_GOCACHE=DIR and STANDINS_GOMODCACHE=DIR keep Go's build cache and its modules there between runs.
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
go=/usr/lib/go-1.25/bin

if [ ! -x "$tree$go/go" ]; then
    echo "$0: $tree has no $go/go: install the packages of $sources/packages.build there" >&2
    exit 1
fi

work=$(mktemp -d "${TMPDIR:-/var/tmp}/standins-build.XXXXXX")
# Go takes the right to write away from what it has unpacked.
trap 'chmod -R u+w "$work" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
mkdir "$work/upper" "$work/work" "$work/root"
cache="${STANDINS_GOCACHE:-$work/cache}"
modules="${STANDINS_GOMODCACHE:-$work/modules}"
mkdir -p "$cache" "$modules"
export sources tree out work go cache modules

unshare --mount --propagation private sh -eu <<'INSIDE'
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/work" "$work/root"
root=$work/root
mkdir -p "$root/standins" "$root/gocache" "$root/gomodules" "$root/out" "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$cache" "$root/gocache"
mount --bind "$modules" "$root/gomodules"
mount --bind "$out" "$root/out"
cp "$sources"/*.go "$sources/go.mod" "$sources/go.sum" "$root/standins/"
# Modules come by this machine's network: its resolver, and whom it trusts.
for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    if [ -e "$file" ]; then cp -L "$file" "$root$file"; fi
done
# GONOSUMDB: Canonical's modules are not in the checksum database. CGO_LDFLAGS_ALLOW: Debian's hardening flags come
# through pkg-config.
chroot "$root" /usr/bin/env -i \
    PATH="$go:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root TMPDIR=/tmp LANG=C.UTF-8 \
    GOCACHE=/gocache GOMODCACHE=/gomodules GOTOOLCHAIN=local GOFLAGS='-p=2 -mod=readonly' \
    ${GOPROXY:+"GOPROXY=$GOPROXY"} GONOSUMDB='github.com/canonical/*' \
    ${HTTP_PROXY:+"HTTP_PROXY=$HTTP_PROXY"} ${http_proxy:+"http_proxy=$http_proxy"} \
    ${HTTPS_PROXY:+"HTTPS_PROXY=$HTTPS_PROXY"} ${https_proxy:+"https_proxy=$https_proxy"} \
    ${NO_PROXY:+"NO_PROXY=$NO_PROXY"} ${no_proxy:+"no_proxy=$no_proxy"} \
    CGO_ENABLED=1 'CGO_LDFLAGS_ALLOW=-Wl,-z,now' VET="${STANDINS_VET:-}" \
    sh -euc '
        cd /standins
        if [ -n "$VET" ]; then
            unformatted=$(gofmt -l .)
            if [ -n "$unformatted" ]; then
                gofmt -d . >&2
                exit 1
            fi
            for tags in libsqlite3 libsqlite3,k8sd; do
                go vet -trimpath -tags "$tags" .
                go test -trimpath -tags "$tags" .
            done
        fi
        go build -trimpath -tags libsqlite3 -ldflags "-s -w" -o /out/standins.new .
        go build -trimpath -tags libsqlite3,k8sd -ldflags "-s -w" -o /out/k8sd.new .
        mv /out/standins.new /out/standins
        mv /out/k8sd.new /out/k8sd
    '
INSIDE
echo "$out/standins $out/k8sd"
