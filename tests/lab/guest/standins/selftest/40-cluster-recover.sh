# What cluster-recover checks, says and writes.
check "the two nodes form a cluster" form
put haone k 1
fails_saying() { # SENTENCE COMMAND…
    local wanted=$1
    shift
    "$@" >"$WORK/said" 2>&1 && return 1
    cat "$WORK/said"
    grep -qF "$wanted" "$WORK/said"
}
check "without a terminal it wants --non-interactive" \
    fails_saying "interactive mode requested in a non-interactive terminal" recover haone
check "it refuses while a k8s-dqlite answers, its own too" \
    fails_saying "Some k8s-dqlite services are still running, please stop them and try again: [10.77.0." \
    recover haone --non-interactive
check "and names both" sh -c "grep -q 10.77.0.1:9000 '$WORK/said' && grep -q 10.77.0.2:9000 '$WORK/said'"
stop TERM hatwo kube-apiserver k8s-dqlite k8sd
stop KILL haone kube-apiserver k8s-dqlite k8sd
check "it refuses while control.socket exists, though it is stale" \
    fails_saying "Daemon is running (socket path exists: \"$lib/k8sd/state/control.socket\")" recover haone --non-interactive
check "a refusal for k8sd leaves k8s-dqlite alone" sh -c "! ls '$(root haone)$common'/recovery-*"
rm "$(state haone)/k8sd/state/control.socket"
start hatwo k8sd
sleep 1
check "it refuses while another k8sd answers" \
    fails_saying 'Contacted cluster member at "hatwo"; please shut down all cluster members' recover haone --non-interactive
stop TERM hatwo k8sd
for database in k8s-dqlite k8sd/state/database; do
    cp "$(state haone)/$database/cluster.yaml" "$WORK/kept.yaml"
    sed -i 's/^\( *Role\): [0-9]/\1: 2/' "$(state haone)/$database/cluster.yaml"
    if [ $database = k8s-dqlite ]; then
        rm -rf "$WORK/novoter"
        cp -a "$(state haone)/k8s-dqlite" "$WORK/novoter"
        on haone mkdir /novoter
        cp -a "$WORK/novoter/." "$(root haone)/novoter/"
        check "k8s-dqlite's recovery validates nothing: a cluster without a voter is written" \
            on haone /snap/k8s/current/bin/k8sd cluster-recover --skip-k8sd --k8s-dqlite-state-dir=/novoter --non-interactive
        rm -f "$(root haone)$common"/recovery-*
    else
        check "k8sd's recovery wants a voter" fails_saying "At least one voter is required" recover haone --non-interactive
    fi
    cp "$WORK/kept.yaml" "$(state haone)/$database/cluster.yaml"
done

seconds recover haone --non-interactive >"$WORK/said" 2>&1
check "it recovers on the voter itself" test $status -eq 0
measured "cluster-recover, peer up but its port closed (refused): $took s"
for sentence in "K8sd cluster changes applied." "New database state saved to $lib/k8sd/state/recovery_db.tar.gz" \
    "K8sd will load this file during startup." "K8s-dqlite cluster changes applied." "Pre-recovery database backup: $common/recovery-k8s-dqlite-"; do
    check "it says: $sentence" grep -qF "$sentence" "$WORK/said"
done
listing() { tar -tzf $1 | sort | xargs; }
for suffix in pre post; do
    file=$(ls "$(root haone)$common"/recovery-k8s-dqlite-*-$suffix-recovery.tar.gz)
    check "the $suffix-recovery tarball bears the local time" \
        sh -c "basename '$file' | grep -Eqx 'recovery-k8s-dqlite-[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}(Z|[+-][0-9]{4})-$suffix-recovery.tar.gz'"
    check "it leaves out what is this node's own" sh -c "! tar -tzf '$file' | grep -Ex 'info.yaml|cluster.key|cluster.crt|k8s-dqlite.sock'"
    check "it has the membership" sh -c "tar -tzf '$file' | grep -qx cluster.yaml"
    check "it is readable by all, as the original's" test "$(stat -c %a "$file")" = 644
done
tarball=$(state haone)/k8sd/state/recovery_db.tar.gz
measured "recovery_db.tar.gz: $(listing "$tarball")"
check "k8sd's tarball has recovery.yaml and no info.yaml" \
    sh -c "tar -tzf '$tarball' | grep -qx recovery.yaml && ! tar -tzf '$tarball' | grep -qx info.yaml"
check "k8sd's backup has the database under its name" \
    sh -c "tar -tzf '$(state haone)/k8sd/state/'db_backup.*.tar.gz | grep -qx database/info.yaml"
check "the patch sets both addresses" test "$(grep -c '^UPDATE core_cluster_members SET address' "$(state haone)/k8sd/state/patch.global.sql")" = 2

rm -f "$(root haone)$common"/recovery-*
check "--skip-k8sd leaves k8sd alone" recover haone --non-interactive --skip-k8sd
check "--skip-k8s-dqlite leaves k8s-dqlite alone" recover haone --non-interactive --skip-k8s-dqlite
check "and needs no k8s-dqlite to be stopped for it" test "$(ls "$(root haone)$common" | grep -c post-recovery)" = 1
# timed WORDS [BEFORE]: how long recovery and the start take in this state of the peer.
timed() {
    rm -f "$(state haone)/k8sd/state/control.socket"
    ${2:-true}
    seconds recover haone --non-interactive >"$WORK/said" 2>&1
    check "it recovers with the peer $1" test $status -eq 0
    measured "cluster-recover, peer $1: $took s"
    rm -f "$tarball"
    ${2:-true}
    start haone k8sd k8s-dqlite kube-apiserver
    seconds eventually 60 ready haone
    check "the voter starts with the peer $1" test $status -eq 0
    measured "start of the voter to ready, peer $1: $took s"
    check "its data is there" test "$(api haone GET /kv/k)" = 1
    power_cut haone
}
timed "up, its port closed (refused)"
unplug hatwo
timed "just unplugged (its ARP entry still known)"
timed "unplugged (no ARP answer)" forget_peers
plug_in hatwo
blackhole hatwo
timed "blackholed (packets lost without an error)"
rm -f "$(state haone)/k8sd/state/control.socket"
seconds recover haone --non-interactive --skip-k8sd >"$WORK/said" 2>&1
measured "cluster-recover --skip-k8sd, peer blackholed: $took s"
seconds recover haone --non-interactive --skip-k8s-dqlite >"$WORK/said" 2>&1
measured "cluster-recover --skip-k8s-dqlite, peer blackholed: $took s"
# A routing rule that refuses at once what is sent to the dead peer's database ports.
for port in 9000 6400; do ip -n haone rule add to 10.77.0.2 ipproto tcp dport $port unreachable; done
timed "blackholed, but its database ports made unreachable by a routing rule here"
for port in 9000 6400; do ip -n haone rule del to 10.77.0.2 ipproto tcp dport $port; done
unblackhole hatwo
rm -f "$(state haone)/k8sd/state/control.socket"

seconds recover haone --non-interactive --skip-k8s-dqlite >"$WORK/said" 2>&1
check "k8sd's recovery leaves a tarball in its own state, too" test -e "$tarball"
start haone k8sd
check "which k8sd consumes at its next start on the very node" eventually 20 test ! -e "$tarball"
check "and serves, with both members" eventually 20 has_role haone k8sd 10.77.0.2:6400 spare
power_cut haone
rm -f "$(state haone)/k8sd/state/control.socket"
recover haone --non-interactive --skip-k8s-dqlite >"$WORK/said" 2>&1
# What microcluster leaves when it is killed between the removal of the old database and the renaming of the new one.
state=$(state haone)/k8sd/state
mkdir "$state/recovery_db"
tar -xzf "$tarball" -C "$state/recovery_db"
cp "$state/database/info.yaml" "$state/recovery_db/"
rm -r "$state/database" "$state/recovery_db/recovery.yaml"
start haone k8sd
sleep 2
check "a crash between removal and rename leaves no database, and the next start fails" \
    not kill -0 "${pids[haone.k8sd]}"
