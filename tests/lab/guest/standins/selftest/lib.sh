# Shared by the cases of selftest.sh.

passed=0
failed=0
declare -A pids=()
lib=/var/snap/k8s/common/var/lib
common=/var/snap/k8s/common

# check SENTENCE COMMAND…: the command has to succeed.
check() {
    local sentence=$1
    shift
    if "$@" >"$WORK/check.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $sentence"
    else
        failed=$((failed + 1))
        echo "FAILED  $sentence"
        echo "        command: $*"
        sed 's/^/        /' "$WORK/check.log" | tail -n 20
    fi
}

measured() { echo "measured $*"; }

not() { ! "$@"; }

# seconds COMMAND…: run it, keep its exit code in $status, and set $took to the seconds it took.
seconds() {
    local begin end
    begin=$(date +%s%N)
    "$@"
    status=$?
    end=$(date +%s%N)
    took=$(((end - begin) / 1000000))
    took=$((took / 1000)).$(printf %03d $((took % 1000)))
}

# eventually SECONDS COMMAND…: retry until it succeeds.
eventually() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $limit ] || return 1
        sleep 0.2
    done
}

address() { case $1 in haone) echo 10.77.0.1 ;; hatwo) echo 10.77.0.2 ;; esac; }

# make_switch makes the two nodes' network: a bridge in this namespace, a cable to each node.
make_switch() {
    mount -t tmpfs tmpfs /run
    ip link set lo up
    ip link add br0 type bridge
    ip link set br0 up
    local node
    for node in haone hatwo; do
        ip netns add $node
        ip link add cable-$node type veth peer name eth0 netns $node
        ip link set cable-$node master br0 up
        ip -n $node link set lo up
        ip -n $node link set eth0 up
        ip -n $node addr add "$(address $node)/24" dev eth0
    done
}

# fresh_node NODE: a root of its own, with the stand-ins and a systemctl that only writes down what it is asked.
fresh_node() {
    local node=$1 base=$WORK/$1
    if mountpoint -q "$base/root"; then umount -R "$base/root" || return 1; fi
    rm -rf --one-file-system "$base"
    mkdir -p "$base/upper" "$base/work" "$base/root" "$base/log"
    mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$base/upper,workdir=$base/work" "$base/root"
    "$HERE/install.sh" "$OUT" "$base/root"
    mkdir -p "$base/root/usr/local/bin" "$base/root/mnt/drbd0"
    cat >"$base/root/usr/local/bin/systemctl" <<'FAKE'
#!/bin/sh
echo "$*" >>/systemctl.log
if [ "$1" = show ]; then cat /systemctl.show; fi
FAKE
    chmod +x "$base/root/usr/local/bin/systemctl"
}

root() { echo "$WORK/$1/root"; }
state() { echo "$WORK/$1/root$lib"; }

# on NODE COMMAND…: run it in the node's network and root.
on() {
    local node=$1
    shift
    ${EXEC:-} nsenter --net=/run/netns/$node chroot "$(root $node)" /usr/bin/env -i \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin HOME=/root ${NODE_ENV:-} "$@"
}

# start NODE SERVICE…: run services as their units would.
start() {
    local node=$1 service
    shift
    for service in "$@"; do
        # exec, so that the process to signal is the program and not a shell around it.
        EXEC=exec on $node snap run k8s.$service >>"$WORK/$node/log/$service" 2>&1 &
        pids[$node.$service]=$!
    done
}

# stop SIGNAL NODE SERVICE…: send it and wait for the end.
stop() {
    local signal=$1 node=$2 service pid
    shift 2
    for service in "$@"; do
        pid=${pids[$node.$service]:-}
        [ -n "$pid" ] || continue
        kill -s "$signal" "$pid" 2>/dev/null
    done
    for service in "$@"; do
        pid=${pids[$node.$service]:-}
        [ -n "$pid" ] || continue
        wait "$pid" 2>/dev/null
        unset "pids[$node.$service]"
    done
}

# power_cut NODE: everything of it dies at once.
power_cut() { stop KILL "$1" kube-apiserver k8s-dqlite k8sd; }

stop_all() {
    power_cut haone
    power_cut hatwo
    plug_in haone
    plug_in hatwo
}

# unplug NODE: its address answers no more, not even to ARP; others learn "no route to host" after about 3 s.
unplug() { ip link set cable-$1 nomaster; }
forget_peers() {
    ip -n haone neigh flush dev eth0
    ip -n hatwo neigh flush dev eth0
}
plug_in() {
    ip link set cable-$1 master br0
    forget_peers
}
# blackhole NODE: packets to it go into the void without any error (other nodes keep a fixed ARP entry).
blackhole() {
    local node=$1 other=haone mac
    [ $node = haone ] && other=hatwo
    mac=$(ip -n $node -o link show eth0 | sed 's/.*link.ether \([^ ]*\).*/\1/')
    ip -n $other neigh replace "$(address $node)" lladdr "$mac" dev eth0 nud permanent
    ip link set cable-$node nomaster
}
unblackhole() {
    local other=haone
    [ "$1" = haone ] && other=hatwo
    ip -n $other neigh del "$(address $1)" dev eth0
    plug_in $1
}

# api NODE METHOD PATH [BODY]: the answer's body; fails unless it is 200.
api() {
    local node=$1 method=$2 path=$3 body=${4-}
    nsenter --net=/run/netns/$node curl -sS -f -m 25 -X "$method" -d "$body" "http://$(address $node):6443$path"
}
put() { api "$1" PUT "/kv/$2" "$3" >/dev/null; }
ready() { api "$1" GET /readyz >/dev/null 2>&1; }

# writer NODE PREFIX: puts keys one after the other until told to stop, and writes down those acknowledged.
writer() {
    local node=$1 prefix=$2 i=0
    while [ ! -e "$WORK/stop-writer" ]; do
        i=$((i + 1))
        if put $node "$prefix-$(printf %05d $i)" "value-$i" 2>/dev/null; then
            printf '%s-%05d\tvalue-%d\n' "$prefix" $i $i >>"$WORK/acknowledged"
        fi
    done
}

# survivors NODE: are all acknowledged keys there, with their values?
all_survive() {
    api $1 GET /kv >"$WORK/listing" || return 1
    sort "$WORK/listing" >"$WORK/listing.sorted"
    sort "$WORK/acknowledged" >"$WORK/acknowledged.sorted"
    local lost
    lost=$(comm -13 "$WORK/listing.sorted" "$WORK/acknowledged.sorted" | wc -l)
    echo "acknowledged $(wc -l <"$WORK/acknowledged.sorted"), listed $(wc -l <"$WORK/listing"), lost $lost"
    [ "$lost" -eq 0 ]
}

# role NODE DATABASE ADDRESS: the role of a member, as the leader sees it from that node.
role() {
    on $1 lab-cluster status >"$WORK/status.json" || return 1
    python3 - "$WORK/status.json" "$2" "$3" <<'PY'
import json, sys
status = json.load(open(sys.argv[1]))
for member in status[sys.argv[2]]["members"]:
    if member["address"] == sys.argv[3]:
        print(member["role"])
PY
}
has_role() { [ "$(role "$1" "$2" "$3")" = "$4" ]; }
# leads NODE DATABASE ADDRESS: does that node find this leader? knows_leader: does its own engine name this leader?
leads() { view "$1" "$2" leader "$3"; }
knows_leader() { view "$1" "$2" here "$3"; }
view() {
    on $1 lab-cluster status >"$WORK/status.json" || return 1
    python3 -c 'import json,sys; sys.exit(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]] != sys.argv[4])' \
        "$WORK/status.json" "$2" "$3" "$4"
}

# form: a cluster of both nodes, haone the voter, as provisioning leaves it.
form() {
    local node
    for node in haone hatwo; do fresh_node $node; done
    rm -f "$WORK/stop-writer" "$WORK/acknowledged"
    : >"$WORK/acknowledged"
    start haone k8sd
    on haone lab-cluster bootstrap --no-wait haone 10.77.0.1 || return 1
    start haone k8s-dqlite kube-apiserver
    on haone lab-cluster wait --timeout 60s || return 1
    on haone lab-cluster join-token hatwo >"$(root hatwo)/root/token" || return 1
    start hatwo k8sd
    on hatwo lab-cluster join --no-wait @/root/token 10.77.0.2 || return 1
    start hatwo k8s-dqlite kube-apiserver
    on hatwo lab-cluster wait --timeout 90s --members 2
}
# keeps_nothing DIR: no log, no snapshot and no vote.
keeps_nothing() { [ -z "$(find "$1/" -name 'open-*' -o -name '0*-0*' -o -name 'snapshot-*' -o -name 'metadata*')" ]; }
last_index() { # NODE-LESS: highest index named by the closed segments of DIR
    ls "$1" | sed -n 's/^0*[0-9]*-0*\([0-9][0-9]*\)$/\1/p' | sort -n | tail -n 1
}

# node_id DIR: the dqlite ID in a directory's info.yaml.
node_id() { sed -n 's/^ID: //p' "$1/info.yaml"; }

# sole_voter FILE VOTER_ADDRESS…: edit a cluster.yaml as two-node-ha.sh does: 0 for that address, 2 for the others.
sole_voter() {
    python3 - "$@" <<'PY'
import re, sys
path, voter = sys.argv[1:]
entries = re.split(r"(?m)^(?=- )", open(path).read())
out = ""
for entry in entries:
    if entry.strip():
        role = 0 if re.search(r"Address: %s$" % re.escape(voter), entry, re.M) else 2
        entry = re.sub(r"Role: \d", "Role: %d" % role, entry)
    out += entry
open(path, "w").write(out)
PY
}

recover() { # NODE [FLAG…]
    local node=$1
    shift
    on $node /snap/k8s/current/bin/k8sd cluster-recover --state-dir=$lib/k8sd/state \
        --k8s-dqlite-state-dir=$lib/k8s-dqlite --log-level=1 "$@" </dev/null
}

# take_volume FROM: what FROM's disks held at its death, as the replicated volume shows it to the survivor.
take_volume() {
    rm -rf "$WORK/volume"
    mkdir -p "$WORK/volume"
    cp -a "$(state $1)/k8s-dqlite" "$WORK/volume/k8s-dqlite"
    cp -a "$(state $1)/k8sd/state" "$WORK/volume/k8sd"
}

# become_voter NODE: NODE puts its own identity into the volume's directories, its links onto them, and recovers.
become_voter() {
    local node=$1 own
    prepare_volume $node
    recover $node --non-interactive
}
prepare_volume() {
    local node=$1 mnt file
    mnt=$(root $node)/mnt/drbd0
    mountpoint -q "$mnt" || mount --bind "$WORK/volume" "$mnt"
    own=$(root $node)/spare
    mkdir -p "$own"
    if [ ! -L "$(state $node)/k8s-dqlite" ]; then
        mv "$(state $node)/k8s-dqlite" "$own/k8s-dqlite"
        mv "$(state $node)/k8sd/state" "$own/k8sd"
        ln -s /mnt/drbd0/k8s-dqlite "$(state $node)/k8s-dqlite"
        ln -s /mnt/drbd0/k8sd "$(state $node)/k8sd/state"
    fi
    for file in info.yaml cluster.crt cluster.key; do cp "$own/k8s-dqlite/$file" "$mnt/k8s-dqlite/"; done
    for file in database/info.yaml daemon.yaml cluster.crt cluster.key server.crt server.key; do
        cp "$own/k8sd/$file" "$mnt/k8sd/$file"
    done
    rm -f "$mnt/k8sd/control.socket"
    sole_voter "$mnt/k8s-dqlite/cluster.yaml" "$(address $node):9000"
    sole_voter "$mnt/k8sd/database/cluster.yaml" "$(address $node):6400"
}

# fail_over: the voter haone dies, hatwo takes its disk over and serves; hatwo's tarballs are in $WORK.
fail_over() {
    unplug haone
    power_cut haone
    stop TERM hatwo kube-apiserver k8s-dqlite k8sd
    take_volume haone
    prepare_volume hatwo
    forget_peers
    recover hatwo --non-interactive || return 1
    cp "$(ls -t "$(root hatwo)$common"/recovery-k8s-dqlite-*-post-recovery.tar.gz | head -n 1)" "$WORK/post-recovery.tar.gz"
    mv "$WORK/volume/k8sd/recovery_db.tar.gz" "$WORK/recovery_db.tar.gz"
    plug_in haone
    start hatwo k8sd k8s-dqlite kube-apiserver
    eventually 60 ready hatwo
}
