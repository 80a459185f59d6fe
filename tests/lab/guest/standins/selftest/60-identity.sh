# What a returning node needs in its k8s-dqlite directory to be a spare, and what makes it a second voter.
check "the two nodes form a cluster" form
put haone k 1
check "the other node fails over" fail_over
put hatwo k 2
dir=$(state haone)/k8s-dqlite
cp -a "$dir" "$WORK/own"
mkdir "$WORK/unpacked"
tar -xzf "$WORK/post-recovery.tar.gz" -C "$WORK/unpacked"
# comes_back ID ROLE PATTERN…: with its certificates, the recovered cluster.yaml, an info.yaml, and these files.
comes_back() {
    local id=$1 role=$2 pattern
    shift 2
    power_cut haone
    find "$dir" -mindepth 1 -delete
    cp "$WORK/own/cluster.crt" "$WORK/own/cluster.key" "$WORK/unpacked/cluster.yaml" "$dir/"
    printf 'ID: %s\nAddress: 10.77.0.1:9000\nRole: %s\n' $id $role >"$dir/info.yaml"
    for pattern in "$@"; do cp $pattern "$dir/"; done
    : >"$WORK/haone/log/k8s-dqlite"
    start haone k8s-dqlite kube-apiserver
    eventually 5 ready haone
}
is_good_spare() {
    has_role haone k8s-dqlite 10.77.0.1:9000 spare && leads haone k8s-dqlite 10.77.0.2:9000 &&
        [ "$(api haone GET /kv/k)" = 2 ] && put haone by-spare 1 && [ "$(api hatwo GET /kv/by-spare)" = 1 ]
}
# Whom its clients find is a race between two leaders, so ask its own engine.
is_second_voter() { eventually 10 knows_leader haone k8s-dqlite 10.77.0.1:9000; }
bootstrap=$((0x2dc171858c3155be))
for role in 0 1 2; do
    check "with the tarball's log it starts, Role $role in info.yaml" comes_back $bootstrap $role "$WORK/unpacked/[0-9m]*"
    check "and is a good spare" is_good_spare
done
check "with the tarball's metadata alone it starts" comes_back $bootstrap 2 "$WORK/unpacked/metadata*"
check "and is a good spare" is_good_spare
# format 1, version 1, term 1, voted for nobody
printf '\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >"$WORK/metadata1"
check "with a metadata file made by hand it starts" comes_back $bootstrap 2 "$WORK/metadata1"
check "and is a good spare" is_good_spare
check "with the tarball's segments and no metadata it does not start" not comes_back $bootstrap 2 "$WORK/unpacked/[0-9]*"
measured "k8s-dqlite then says: $(grep -v 'configure\|no known leader' "$WORK/haone/log/k8s-dqlite" | head -n 1)"
check "with an ID that is no member's, and nothing else, it starts" comes_back 4242 2
check "and serves as a client of the voter" test "$(api haone GET /kv/k)" = 2
for id in 1 $bootstrap; do
    check "ID $id on an empty directory starts" comes_back $id 2
    check "as a second voter: its own engine leads" is_second_voter
    check "of a new cluster, with a log of its own" not keeps_nothing "$dir"
done
check "the real voter has kept its data" test "$(api hatwo GET /kv/k)" = 2
check "and its view" has_role hatwo k8s-dqlite 10.77.0.1:9000 spare
power_cut haone
find "$dir" -mindepth 1 -delete
cp -a "$WORK/own/." "$dir/"
start haone k8s-dqlite kube-apiserver
check "on its old directory it starts" eventually 10 ready haone
check "as a second voter: its own engine leads" is_second_voter
check "while the real voter leads, too; whom a client finds is a race" knows_leader hatwo k8s-dqlite 10.77.0.2:9000
power_cut haone

# The other node's ID is its own, not one that begins a cluster.
stop TERM hatwo kube-apiserver k8s-dqlite k8sd
check "the other node, a spare again" form
power_cut hatwo
dir=$(state hatwo)/k8s-dqlite
find "$dir" -mindepth 1 ! -name info.yaml ! -name 'cluster.*' -delete
start hatwo k8s-dqlite kube-apiserver
check "needs nothing but info.yaml, cluster.yaml and the certificates" eventually 10 ready hatwo
check "its engine knows no leader: clients find it by cluster.yaml" knows_leader hatwo k8s-dqlite ""
check "and is a spare" has_role hatwo k8s-dqlite 10.77.0.2:9000 spare
