# A cluster is formed as by `k8s bootstrap` and `k8s join-cluster`, and serves from both nodes.
check "the two nodes form a cluster" form
check "the first node has the bootstrap ID in k8s-dqlite" \
    test "$(node_id "$(state haone)/k8s-dqlite")" = "$((0x2dc171858c3155be))"
check "the first node has the bootstrap ID in k8sd" \
    test "$(node_id "$(state haone)/k8sd/state/database")" = "$((0x2dc171858c3155be))"
check "the second node has another ID" \
    test "$(node_id "$(state hatwo)/k8s-dqlite")" != "$((0x2dc171858c3155be))"
for database in k8s-dqlite:9000 k8sd:6400; do
    check "haone is a voter of ${database%:*}" has_role hatwo ${database%:*} 10.77.0.1:${database#*:} voter
    check "hatwo is a spare of ${database%:*}" has_role hatwo ${database%:*} 10.77.0.2:${database#*:} spare
done
for node in haone hatwo; do
    check "$node trusts both members" test "$(ls "$(state $node)/k8sd/state/truststore" | xargs)" = "haone.yaml hatwo.yaml"
done
check "a write through the spare's API server is acknowledged" put hatwo through-spare 42
check "it is read through the voter's" test "$(api haone GET /kv/through-spare)" = 42
check "a key that was never written is not found" not api haone GET /kv/nothing
check "the spare's k8s-dqlite keeps no log, no snapshot and no vote" keeps_nothing "$(state hatwo)/k8s-dqlite"
check "nor does the spare's k8sd" keeps_nothing "$(state hatwo)/k8sd/state/database"
check "info.yaml of the spare says Role 0 all the same" grep -q 'Role: 0' "$(state hatwo)/k8s-dqlite/info.yaml"
measured "files of the spare's k8s-dqlite: $(ls "$(state hatwo)/k8s-dqlite" | xargs)"
measured "info.yaml of the spare: $(xargs <"$(state hatwo)/k8s-dqlite/info.yaml")"
measured "cluster.yaml: $(xargs <"$(state haone)/k8s-dqlite/cluster.yaml")"

check "k8sd started the datastore and the control plane by snap start --enable" \
    test "$(head -n 4 "$(root haone)/systemctl.log")" = "--no-reload enable snap.k8s.k8s-dqlite.service
start snap.k8s.k8s-dqlite.service
--no-reload enable snap.k8s.containerd.service snap.k8s.kube-controller-manager.service snap.k8s.kube-proxy.service snap.k8s.kube-scheduler.service snap.k8s.kubelet.service snap.k8s.kube-apiserver.service
start snap.k8s.containerd.service snap.k8s.kube-controller-manager.service snap.k8s.kube-proxy.service snap.k8s.kube-scheduler.service snap.k8s.kubelet.service snap.k8s.kube-apiserver.service"

status_of() { on $1 k8s status --output-format json --wait-ready --timeout 30s; }
check "k8s status tells both members, their roles and the datastore" \
    test "$(status_of hatwo)" = '{"ready":true,"members":[{"name":"haone","address":"10.77.0.1:6400","cluster-role":"control-plane","datastore-role":"voter"},{"name":"hatwo","address":"10.77.0.2:6400","cluster-role":"control-plane","datastore-role":"spare"}],"datastore":{"type":"k8s-dqlite"}}'
check "k8s local-node-status tells this node's role" \
    test "$(on hatwo k8s local-node-status --output-format json)" = '{"name":"hatwo","address":"10.77.0.2:6400","cluster-role":"control-plane","datastore-role":"spare"}'
for pair in haone.k8s-dqlite haone.k8sd haone.kube-apiserver; do
    measured "resident memory of $pair: $(awk '/VmRSS/ {print $2, $3}' /proc/${pids[$pair]}/status)"
done
check "each process goes by its own name" test "$(cat /proc/${pids[haone.k8s-dqlite]}/comm)" = k8s-dqlite

stop KILL hatwo kube-apiserver
check "k8s status fails at once, whatever --wait-ready, while the local API server is down" not status_of hatwo
