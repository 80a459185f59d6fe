# What a spare needs in k8sd's state directory, and what k8sd makes of the rest.
check "the two nodes form a cluster" form
bootstrap=$((0x2dc171858c3155be))
dir=$(state hatwo)/k8sd/state
answers() { # NODE: does its k8sd say that its database is open?
    (cd "$(state $1)/k8sd/state" && curl -sS -m 2 -f --unix-socket control.socket http://control.socket/core/1.0) |
        grep -q '"ready":true'
}
sql() { # NODE STATEMENT
    (cd "$(state $1)/k8sd/state" && curl -sS -m 20 --unix-socket control.socket -d "{\"query\": \"$2\"}" \
        http://control.socket/core/internal/sql) | grep -q '"status_code":200'
}
stop TERM hatwo k8sd
check "a spare's k8sd keeps no log, no snapshot and no vote" keeps_nothing "$dir/database"
cp -a "$dir" "$WORK/own"
# spare_of COMMAND: what the node had, without anything of raft's and without what COMMAND takes away.
spare_of() {
    find "$dir" -mindepth 1 -delete
    mkdir "$dir/database"
    cp -a "$WORK/own/truststore" "$WORK/own/daemon.yaml" "$WORK/own"/server.* "$WORK/own"/cluster.* "$dir/"
    cp "$WORK/own/database/info.yaml" "$WORK/own/database/cluster.yaml" "$dir/database/"
    (cd "$dir" && eval "$1")
    : >"$WORK/hatwo/log/k8sd"
    start hatwo k8sd
}
# A metadata file made by hand: format 1, version 1, term 1, voted for nobody.
metadata() { printf '\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >"$1/metadata1"; }
rows=0
serves() {
    rows=$((rows + 1))
    eventually 20 answers hatwo && has_role hatwo k8sd 10.77.0.2:6400 spare &&
        sql hatwo "INSERT INTO cluster_configs VALUES ('row-$rows', '')"
}
ends_saying() { eventually 20 grep -qF "$1" "$WORK/hatwo/log/k8sd"; }
# works SENTENCE COMMAND; fails SENTENCE COMMAND WORDS.
works() {
    spare_of "$2"
    check "$1" serves
    stop KILL hatwo k8sd
}
fails() {
    spare_of "$2"
    check "$1" ends_saying "$3"
    check "and ends" eventually 20 not kill -0 "${pids[hatwo.k8sd]}"
    stop KILL hatwo k8sd
}
works "info.yaml, cluster.yaml, daemon.yaml, certificates and the trust store make a spare" true
works "so do they with a metadata file made by hand" 'metadata database'
works "so does a trust store with its own record alone" 'rm truststore/haone.yaml'
works "so does a cluster.yaml with the voter alone" 'sed -i "4,\$d" database/cluster.yaml'
works "so does a daemon.yaml without the list of servers" 'sed -i /servers/d daemon.yaml'
fails "without daemon.yaml it does not start" 'rm daemon.yaml' 'Failed to load daemon config'
fails "nor with an empty one" ': >daemon.yaml' 'Cannot start network API without valid daemon configuration'
fails "nor with one cut off in the address" 'printf "name: hatwo\naddress: 10.77.0" >daemon.yaml' 'not an ip:port'
fails "nor with an empty record in the trust store" ': >truststore/haone.yaml' 'Found empty certificate'
fails "nor with info.yaml alone" 'rm database/cluster.yaml' 'inconsistent info.yaml and cluster.yaml'
fails "with another member's name it aborts" 'sed -i s/hatwo/other/ daemon.yaml' 'SIGABRT'
spare_of 'rm truststore/haone.yaml'
check "the next heartbeat completes its trust store" eventually 40 test -e "$dir/truststore/haone.yaml"
check "and leaves nothing of raft" keeps_nothing "$dir/database"
stop TERM hatwo k8sd

# The node that began the cluster, as a spare.
check "the other node fails over" fail_over
dir=$(state haone)/k8sd/state
rm -rf "$WORK/own" "$dir/control.socket"
cp "$WORK/volume/k8sd/database/cluster.yaml" "$dir/database/"
cp -a "$dir" "$WORK/own"
find "$dir/database" -type f ! -name info.yaml ! -name cluster.yaml -delete
metadata "$dir/database"
start haone k8sd
check "with the bootstrap ID it needs a metadata file made by hand, and no more" eventually 20 answers haone
check "it is a spare of k8sd" has_role haone k8sd 10.77.0.1:6400 spare
check "its own engine knows no leader" knows_leader haone k8sd ""
check "it has the bootstrap ID" test "$(node_id "$dir/database")" = $bootstrap
stop KILL haone k8sd
rm -f "$dir/control.socket" "$dir/database/metadata1" "$dir/database/dqlite-lock"
start haone k8sd
check "with nothing of raft's it begins a cluster of its own" eventually 20 not keeps_nothing "$dir/database"
