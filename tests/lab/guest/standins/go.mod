module two-node-ha/standins

go 1.24
