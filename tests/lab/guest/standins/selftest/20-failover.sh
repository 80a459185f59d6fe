# The voter dies under writes; the spare takes the voter's disk over, recovers, and has lost nothing.
check "the two nodes form a cluster" form
writer haone via-voter &
first=$!
writer hatwo via-spare &
second=$!
sleep 4
unplug haone
power_cut haone
touch "$WORK/stop-writer"
wait $first $second
stop TERM hatwo kube-apiserver k8sd
seconds stop TERM hatwo k8s-dqlite
measured "SIGTERM of a spare's k8s-dqlite to its end, its voter dead: $took s"
measured "acknowledged before the cut: $(wc -l <"$WORK/acknowledged")"
check "writes were acknowledged through both nodes" \
    sh -c "grep -q via-voter '$WORK/acknowledged' && grep -q via-spare '$WORK/acknowledged'"
take_volume haone
check "a killed k8sd leaves its control socket" test -S "$WORK/volume/k8sd/control.socket"
check "a killed k8s-dqlite leaves its socket" test -S "$WORK/volume/k8s-dqlite/k8s-dqlite.sock"
prepare_volume hatwo
forget_peers
seconds recover hatwo --non-interactive >"$WORK/recover.log" 2>&1
check "cluster-recover succeeds with the peer dead" test $status -eq 0
sed 's/^/        /' "$WORK/recover.log" | grep -v "Run this command\|^ *- "
measured "cluster-recover, peer unreachable (no ARP answer): $took s"
cp "$(ls -t "$(root hatwo)$common"/recovery-k8s-dqlite-*-post-recovery.tar.gz | head -n 1)" "$WORK/post-recovery.tar.gz"
cp "$WORK/volume/k8sd/recovery_db.tar.gz" "$WORK/recovery_db.tar.gz"
# The survivor is the source: it must not consume the tarball itself at its next start.
mv "$WORK/volume/k8sd/recovery_db.tar.gz" "$WORK/volume/k8sd/recovery_db.bkp.tar.gz"
start hatwo k8sd k8s-dqlite kube-apiserver
seconds eventually 60 ready hatwo
check "the survivor serves" test $status -eq 0
measured "start to ready, peer unreachable (no ARP answer): $took s"
check "every acknowledged key is there" all_survive hatwo
measured "$(cat "$WORK/check.log")"
check "the survivor takes writes" put hatwo after-failover 1
check "the survivor is the voter of k8s-dqlite" has_role hatwo k8s-dqlite 10.77.0.2:9000 voter
check "the dead node is its spare" has_role hatwo k8s-dqlite 10.77.0.1:9000 spare
check "the survivor is the voter of k8sd" has_role hatwo k8sd 10.77.0.2:6400 voter
check "the dead node is its spare in k8sd" has_role hatwo k8sd 10.77.0.1:6400 spare
check "k8sd applied the patch that cluster-recover had left" eventually 30 test ! -e "$WORK/volume/k8sd/patch.global.sql"

# The dead node comes back, as a spare, with nothing but what the tarballs hold.
plug_in haone
k8s_dir=$(state haone)/k8s-dqlite
k8sd_dir=$(state haone)/k8sd/state
cp -a "$k8s_dir" "$WORK/old-k8s-dqlite"
find "$k8s_dir" -mindepth 1 ! -name info.yaml ! -name cluster.crt ! -name cluster.key -delete
tar -xzf "$WORK/post-recovery.tar.gz" -C "$k8s_dir"
cp "$WORK/recovery_db.tar.gz" "$k8sd_dir/"
measured "post-recovery tarball: $(tar -tzf "$WORK/post-recovery.tar.gz" | sort | xargs)"
measured "info.yaml of the returning node: $(xargs <"$k8s_dir/info.yaml")"
start haone k8sd k8s-dqlite kube-apiserver
seconds eventually 60 ready haone
check "the returned node serves, with the bootstrap ID and the post-recovery tarball" test $status -eq 0
measured "start of the returned spare to ready: $took s"
check "it is a spare of k8s-dqlite" has_role haone k8s-dqlite 10.77.0.1:9000 spare
check "the survivor is still the voter" has_role haone k8s-dqlite 10.77.0.2:9000 voter
check "the survivor leads" leads haone k8s-dqlite 10.77.0.2:9000
check "it is a spare of k8sd" has_role haone k8sd 10.77.0.1:6400 spare
check "k8sd consumed the tarball" test ! -e "$k8sd_dir/recovery_db.tar.gz"
check "k8sd backed its old database up first" sh -c "ls '$k8sd_dir'/db_backup.*.tar.gz"
check "recovery.yaml is gone from the new database" test ! -e "$k8sd_dir/database/recovery.yaml"
check "the local ID was kept" test "$(node_id "$k8sd_dir/database")" = "$((0x2dc171858c3155be))"
check "every acknowledged key is still there" all_survive haone
check "a write through the returned spare is acknowledged" put haone after-return 2
check "and read on the voter" test "$(api hatwo GET /kv/after-return)" = 2
before=$(md5sum "$k8s_dir"/0*-0* 2>/dev/null | md5sum)
for i in $(seq 30); do put hatwo grow-$i $i; done
check "the spare's log does not grow" test "$before" = "$(md5sum "$k8s_dir"/0*-0* 2>/dev/null | md5sum)"
stop TERM haone kube-apiserver k8s-dqlite k8sd
check "a spare that stops moves nothing: the voter goes on" put hatwo after-spare-stop 3
check "the survivor is still the only voter" has_role hatwo k8s-dqlite 10.77.0.2:9000 voter
start haone k8s-dqlite kube-apiserver
check "a spare starts again on what it has" eventually 60 ready haone
check "and is a spare" has_role haone k8s-dqlite 10.77.0.1:9000 spare
