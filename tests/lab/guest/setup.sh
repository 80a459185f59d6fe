# Runs once inside the tree of the nodes' image, as root of it.
set -eu

if [ -e /package.deb ]; then
    # No unit may start in here, and systemctl is not to wait for a system that is not there.
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 0755 /usr/sbin/policy-rc.d
    dpkg -i /package.deb
    rm -f /usr/sbin/policy-rc.d
fi

systemctl enable lab-agent.service lab-net.service corosync.service pacemaker.service ssh.service

# What has no hardware or no use in a node of the lab, and costs seconds of its start on a kernel
# where a fork takes tens of milliseconds.
systemctl mask \
    getty.target getty-static.service console-getty.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service logd.service \
    systemd-binfmt.service systemd-pstore.service systemd-logind.service \
    systemd-update-done.service ldconfig.service systemd-journal-catalog-update.service \
    systemd-sysusers.service systemd-hwdb-update.service systemd-firstboot.service \
    systemd-udev-load-credentials.service kmod-static-nodes.service \
    systemd-hostnamed.socket systemd-creds.socket proc-sys-fs-binfmt_misc.automount
# Generators run at every daemon-reload, and Pacemaker reloads at every start and stop of a systemd
# resource: those with nothing to find here go.
mkdir -p /etc/systemd/system-generators
# (debug stays: it is the one that obeys systemd.mask= on the kernel's command line.)
for generator in cryptsetup factory-reset getty gpt-auto hibernate-resume import integritysetup \
    ssh system-update tpm2 veritysetup bless-boot run; do
    ln -sfn /dev/null "/etc/systemd/system-generators/systemd-$generator-generator"
done
# Logging in would ask logind for a session.
for file in /etc/pam.d/common-session /etc/pam.d/common-session-noninteractive; do
    if [ -e "$file" ]; then sed -i '/pam_systemd\.so/d' "$file"; fi
done

# Each keyboard, console and serial line of the kernel would be an event for udev to work on.
mkdir -p /etc/systemd/system/systemd-udev-trigger.service.d
printf '[Service]\nExecStart=\nExecStart=-udevadm trigger --type=all --action=add --subsystem-nomatch=tty --subsystem-nomatch=mem --prioritized-subsystem=block,net\n' \
    >/etc/systemd/system/systemd-udev-trigger.service.d/lab.conf

# Each node gets its own at its first start.
rm -f /etc/ssh/ssh_host_*_key* /etc/machine-id /var/lib/dbus/machine-id /etc/hostname
: >/etc/machine-id
mkdir -p /var/log/journal /host /mnt/drbd0
printf '10.77.0.1 haone\n10.77.0.2 hatwo\n' >>/etc/hosts
ln -sfn /host/bin/lab /usr/sbin/fence_lab
# ConditionNeedsUpdate=: nothing to do at the first start.
touch /etc/.updated /var/.updated
