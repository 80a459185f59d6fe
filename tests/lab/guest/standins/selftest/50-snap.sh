# snap over systemctl, with the traits that matter.
fresh_node haone
asked() { cat "$(root haone)/systemctl.log"; }
snap_asks() { # EXPECTED SNAP-ARGUMENTS…
    local expected=$1
    shift
    rm -f "$(root haone)/systemctl.log"
    on haone snap "$@" || return 1
    asked
    [ "$(asked)" = "$expected" ]
}
every="snap.k8s.containerd.service snap.k8s.k8s-dqlite.service snap.k8s.k8sd.service snap.k8s.kube-apiserver.service \
snap.k8s.kube-controller-manager.service snap.k8s.kube-proxy.service snap.k8s.kube-scheduler.service snap.k8s.kubelet.service"
check "snap start k8s starts every service" snap_asks "start $every" start k8s
check "snap stop k8s stops every service" snap_asks "stop $every" stop k8s
check "snap restart k8s restarts what runs" snap_asks "try-restart $every" restart k8s
check "snap start --enable k8s.kubelet enables first" \
    snap_asks "--no-reload enable snap.k8s.kubelet.service
start snap.k8s.kubelet.service" start --enable k8s.kubelet
check "snap stop --disable k8s.kubelet disables" \
    snap_asks "--no-reload disable snap.k8s.kubelet.service
stop snap.k8s.kubelet.service" stop k8s.kubelet --disable
check "snap k8s start is no command" not on haone snap k8s start
check "another snap is not found" not on haone snap start microk8s
check "snap refresh --hold is accepted" on haone snap refresh --hold k8s
check "snap refresh without it is not" not on haone snap refresh k8s
check "a service that was not set up does not run" not on haone snap run k8s.k8s-dqlite
printf 'Id=snap.k8s.k8sd.service\nActiveState=active\nUnitFileState=enabled\n\nId=snap.k8s.kubelet.service\nActiveState=inactive\nUnitFileState=disabled\n' \
    >"$(root haone)/systemctl.show"
check "snap services tells what is enabled and active" \
    sh -c "[ \"\$(chroot '$(root haone)' /usr/bin/snap services k8s.k8sd k8s.kubelet | tail -n 2 | tr -s ' ')\" = 'k8s.k8sd enabled active -
k8s.kubelet disabled inactive -' ]"
check "only k8sd is enabled by the installation" \
    test "$(ls "$(root haone)/etc/systemd/system/multi-user.target.wants" | grep snap.k8s)" = snap.k8s.k8sd.service
check "systemd finds no fault with the units" \
    sh -c "systemd-analyze verify --root='$(root haone)' --man=no '$(root haone)'/etc/systemd/system/snap.k8s.*.service"
: >"$(root haone)$common/args/kubelet"
start haone kubelet
sleep 0.5
check "an idle service is a process of little memory" \
    test "$(awk '/VmRSS/ {print $2}' /proc/${pids[haone.kubelet]}/status)" -lt 4000
stop TERM haone kubelet
