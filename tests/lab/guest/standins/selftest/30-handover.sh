# Trap 1: SIGTERM of the voter's k8s-dqlite moves the data to the other node; SIGKILL does not; k8sd never does.
check "the two nodes form a cluster" form
put haone before 1
stop TERM haone k8sd
start haone k8sd
check "k8sd, stopped by SIGTERM, is the voter again when it is back" eventually 60 has_role haone k8sd 10.77.0.1:6400 voter
check "and the other node its spare" has_role haone k8sd 10.77.0.2:6400 spare
stop KILL haone k8s-dqlite
check "a datastore without its voter refuses writes within seconds" not put hatwo lost 1
start haone k8s-dqlite
check "after SIGKILL the voter is back in place" eventually 60 has_role hatwo k8s-dqlite 10.77.0.1:9000 voter
check "and serves" eventually 60 put hatwo after-kill 1
seconds stop TERM haone k8s-dqlite
measured "SIGTERM of the voter to its end: $took s"
check "after SIGTERM the other node is the voter" eventually 30 has_role hatwo k8s-dqlite 10.77.0.2:9000 voter
check "the stopped node is the spare" has_role hatwo k8s-dqlite 10.77.0.1:9000 spare
check "writes now go to the other node's own directory" put hatwo astray 1
check "which now has a log" not keeps_nothing "$(state hatwo)/k8s-dqlite"
start haone k8s-dqlite
check "the stopped node comes back as the spare" eventually 60 has_role haone k8s-dqlite 10.77.0.1:9000 spare
check "the databases disagree on the voter: k8sd kept its own" has_role haone k8sd 10.77.0.1:6400 voter
