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

# Over sockets in the nodes' roots, whose paths are too long to be given whole.
range() { # NODE [MORE]: a read of one key by etcd's API, as gRPC. curl shows trailers only where nothing precedes them.
    local more=${2-}
    printf '\0\0\0\0%b\n\020/registry/health%b' "\\0$(printf %o $((18 + ${#more} / 4)))" "$more" >"$WORK/request"
    (cd "$(state $1)/k8s-dqlite" && curl -sS -m 5 --http2-prior-knowledge --unix-socket k8s-dqlite.sock -D - -o "$WORK/answer" \
        -H 'content-type: application/grpc' -H 'te: trailers' --data-binary "@$WORK/request" \
        http://localhost/etcdserverpb.KV/Range) | tr -d '\r'
}
answers() { # NODE: an error would come without a message.
    rm -f "$WORK/answer"
    range "$1" && [ -s "$WORK/answer" ]
}
server() { # NODE: what its k8sd says of itself.
    (cd "$(state $1)/k8sd/state" && curl -sS -m 2 -f --unix-socket control.socket http://control.socket/core/1.0)
}
says() { "${@:2}" | grep -q "$1"; }
for node in haone hatwo; do
    check "$node's k8s-dqlite answers a read of one key as etcd does" answers $node
    check "and nothing that the original refuses" says '^grpc-message: serializable%20is%20unsupported$' range $node '\070\001'
    check "$node's k8sd says that its database is open" says '"ready":true' server $node
    check "$node's API server is ready by kubectl" \
        test "$(on $node /snap/k8s/current/bin/kubectl --request-timeout=3s get --raw=/readyz)" = ok
done

status_of() { on $1 k8s status --output-format json --wait-ready --timeout 30s; }
has_status() { [ "$(status_of $1)" = "$2" ]; }
# Not before the first round of heartbeats.
check "k8s status tells both members, their roles and the datastore" \
    eventually 30 has_status hatwo '{"ready":true,"members":[{"name":"haone","address":"10.77.0.1:6400","cluster-role":"control-plane","datastore-role":"voter"},{"name":"hatwo","address":"10.77.0.2:6400","cluster-role":"control-plane","datastore-role":"spare"}],"datastore":{"type":"k8s-dqlite"}}'
check "k8s local-node-status tells this node's role" \
    test "$(on hatwo k8s local-node-status --output-format json)" = '{"name":"hatwo","address":"10.77.0.2:6400","cluster-role":"control-plane","datastore-role":"spare"}'
for pair in haone.k8s-dqlite haone.k8sd haone.kube-apiserver; do
    measured "resident memory of $pair: $(awk '/VmRSS/ {print $2, $3}' /proc/${pids[$pair]}/status)"
done
check "each process goes by its own name" test "$(cat /proc/${pids[haone.k8s-dqlite]}/comm)" = k8s-dqlite

blackhole hatwo
hangs() { timeout "$@"; test $? -eq 124; }
check "k8s status has no answer while a member's packets are dropped" hangs 5 nsenter --net=/run/netns/haone \
    chroot "$(root haone)" /snap/bin/k8s status --timeout 30s
check "k8sd itself answers at once all the same" says '"ready":true' server haone
check "and so does the datastore" answers haone
unblackhole hatwo

stop KILL hatwo kube-apiserver
check "k8s status fails at once, whatever --wait-ready, while the local API server is down" not status_of hatwo
