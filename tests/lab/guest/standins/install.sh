#!/bin/sh
# Lays the stand-ins into the root file system of a guest, as installing the k8s snap would.
#
#   install.sh OUT_DIR ROOT
#
# OUT_DIR holds the programs that build.sh made. As after the snap's installation only k8sd is enabled; k8sd enables the
# others once the node is in a cluster (lab-cluster bootstrap, lab-cluster join).
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 OUT_DIR ROOT" >&2
    exit 2
fi
program=$1/standins
k8sd=$1/k8sd
root=$2
for file in "$program" "$k8sd"; do
    if [ ! -x "$file" ]; then
        echo "$0: $file is not there: run build.sh first" >&2
        exit 1
    fi
done

# Hard links, not symbolic ones: each process then shows its own name in /proc/PID/exe, as the snap's programs do.
mkdir -p "$root/snap/k8s/x1/bin" "$root/snap/bin" "$root/usr/bin" "$root/usr/sbin"
ln -sfn x1 "$root/snap/k8s/current"
install -m 0755 "$program" "$root/snap/k8s/x1/bin/k8s"
link() {
    ln -f "$root/snap/k8s/x1/bin/k8s" "$1" 2>/dev/null || install -m 0755 "$program" "$1"
}
install -m 0755 "$k8sd" "$root/snap/k8s/x1/bin/k8sd"
for name in k8s-dqlite containerd kube-apiserver kubelet kube-controller-manager kube-proxy kube-scheduler kubectl; do
    link "$root/snap/k8s/x1/bin/$name"
done
link "$root/usr/bin/snap"
link "$root/snap/bin/k8s"
link "$root/usr/sbin/lab-cluster"

mkdir -p "$root/var/snap/k8s/x1" "$root/var/snap/k8s/common/args"
ln -sfn x1 "$root/var/snap/k8s/current"
for directory in k8s-dqlite k8sd/state; do
    install -d -m 0700 "$root/var/snap/k8s/common/var/lib/$directory"
done
printf '%s\n' --port=6400 --state-dir=/var/snap/k8s/common/var/lib/k8sd/state \
    >"$root/var/snap/k8s/common/args/k8sd"

# unit SERVICE BEFORE AFTER TYPE RESTART STOP_SECONDS: as snapd writes it from the snap's list of services.
unit() {
    name=snap.k8s.$1.service
    before=
    for other in $2; do before="$before snap.k8s.$other.service"; done
    after=
    for other in $3; do after="$after snap.k8s.$other.service"; done
    {
        echo '[Unit]'
        echo "Description=Service for snap application k8s.$1"
        echo 'Wants=network.target'
        echo "After=network.target snapd.apparmor.service$after"
        if [ -n "$before" ]; then echo "Before=${before# }"; fi
        echo 'X-Snappy=yes'
        echo
        echo '[Service]'
        echo 'EnvironmentFile=-/etc/environment'
        echo "ExecStart=/usr/bin/snap run k8s.$1"
        echo "SyslogIdentifier=k8s.$1"
        echo "Restart=$5"
        echo 'WorkingDirectory=/var/snap/k8s/x1'
        echo "TimeoutStopSec=$6"
        echo "Type=$4"
        if [ "$4" = notify ]; then echo 'NotifyAccess=all'; fi
        echo
        echo '[Install]'
        echo 'WantedBy=multi-user.target'
    } >"$root/etc/systemd/system/$name"
}
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
unit containerd              'kubelet'        ''              notify always     30
unit k8s-dqlite              'kube-apiserver' ''              simple on-failure 30
unit k8sd                    ''               ''              simple on-failure 30
unit kubelet                 ''               'containerd kube-apiserver' simple on-failure 30
unit kube-apiserver          'kubelet kube-controller-manager kube-proxy kube-scheduler' 'k8s-dqlite' simple on-failure 5
unit kube-controller-manager ''               'kube-apiserver' simple on-failure 30
unit kube-proxy              ''               'kube-apiserver' simple on-failure 30
unit kube-scheduler          ''               'kube-apiserver' simple on-failure 30
ln -sfn /etc/systemd/system/snap.k8s.k8sd.service \
    "$root/etc/systemd/system/multi-user.target.wants/snap.k8s.k8sd.service"
