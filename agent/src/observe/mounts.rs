//! What is mounted at the mount point: judged by the device number, not by names.

use two_node_ha_planner::observation::Mount;

/// DRBD's block major number (Linux `Documentation/admin-guide/devices.txt`).
pub const DRBD_MAJOR: u32 = 147;

/// Reads what `mountinfo` (proc(5)) says of `mount_point`. The last line counts: it is on top.
#[must_use]
pub fn read(mountinfo: &str, mount_point: &str, minor: u32) -> Mount {
    let mut found = Mount::None;
    for line in mountinfo.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, _, device, _, point, options, rest @ ..] = fields.as_slice() else {
            continue;
        };
        if unescape(point) != mount_point {
            continue;
        }
        // After the optional fields: `-`, type, source, options of the file system itself.
        let of_file_system = rest
            .iter()
            .skip_while(|field| **field != "-")
            .nth(3)
            .unwrap_or(&"");
        let read_only = [*options, *of_file_system]
            .iter()
            .any(|o| o.split(',').any(|option| option == "ro"));
        found = if *device != format!("{DRBD_MAJOR}:{minor}") {
            let source = rest
                .iter()
                .skip_while(|field| **field != "-")
                .nth(2)
                .unwrap_or(&"?");
            Mount::Foreign(format!("{source} (device {device})"))
        } else if read_only {
            Mount::ReadOnly
        } else {
            Mount::ReadWrite
        };
    }
    found
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Major and minor number of its device.
    pub device: (u32, u32),
    /// Where.
    pub point: String,
    /// Whether nothing can be written there.
    pub read_only: bool,
}

impl Mounted {
    /// Whether it is a volume of DRBD.
    #[must_use]
    pub fn is_drbd(&self) -> bool {
        self.device.0 == DRBD_MAJOR
    }
}

/// Every mount, the later ones on top, for whoever has no configuration to say which one is meant.
#[must_use]
pub fn all(mountinfo: &str) -> Vec<Mounted> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, _, device, _, point, options, rest @ ..] = fields.as_slice() else {
            continue;
        };
        let device = device
            .split_once(':')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let Some(device) = device else { continue };
        let of_file_system = rest.iter().skip_while(|field| **field != "-").nth(3);
        let read_only = [Some(options), of_file_system]
            .into_iter()
            .flatten()
            .any(|o| o.split(',').any(|option| option == "ro"));
        found.push(Mounted {
            device,
            point: unescape(point),
            read_only,
        });
    }
    found
}

/// proc(5): space, tab, newline and backslash are written as `\ooo`.
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let bytes = field.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let octal = bytes.get(i + 1..i + 4).filter(|digits| {
            bytes[i] == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
        });
        if let Some(digits) = octal {
            let value = digits
                .iter()
                .fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            out.push(u8::try_from(value).unwrap_or(b'?'));
            i += 4;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "21 1 98:0 / / rw,relatime shared:1 - ext4 /dev/ubda rw\n";

    #[test]
    fn nothing_mounted_is_none() {
        assert_eq!(read(ROOT, "/mnt/drbd0", 0), Mount::None);
    }

    #[test]
    fn the_volume_is_known_by_its_device_number() {
        let line = "40 21 147:0 / /mnt/drbd0 rw,relatime shared:9 - ext4 /dev/drbd0 rw\n";
        assert_eq!(
            read(&format!("{ROOT}{line}"), "/mnt/drbd0", 0),
            Mount::ReadWrite
        );
        assert!(matches!(read(line, "/mnt/drbd0", 1), Mount::Foreign(_)));
    }

    #[test]
    fn read_only_is_seen_in_the_mount_and_in_the_file_system() {
        for line in [
            "40 21 147:0 / /mnt/drbd0 ro,relatime - ext4 /dev/drbd0 rw",
            "40 21 147:0 / /mnt/drbd0 rw,relatime - ext4 /dev/drbd0 ro,errors=remount-ro",
        ] {
            assert_eq!(read(line, "/mnt/drbd0", 0), Mount::ReadOnly);
        }
    }

    #[test]
    fn a_file_system_on_top_of_the_volume_is_foreign() {
        let two = "40 21 147:0 / /mnt/drbd0 rw - ext4 /dev/drbd0 rw\n\
                   41 40 0:40 / /mnt/drbd0 rw - tmpfs tmpfs rw\n";
        assert!(matches!(read(two, "/mnt/drbd0", 0), Mount::Foreign(_)));
    }

    #[test]
    fn a_mount_point_with_a_space_is_found() {
        let line = "40 21 147:3 / /mnt/my\\040volume rw - ext4 /dev/drbd3 rw";
        assert_eq!(read(line, "/mnt/my volume", 3), Mount::ReadWrite);
    }

    #[test]
    fn every_mount_is_listed_in_its_order() {
        let text = "21 1 98:0 / / rw,relatime shared:1 - ext4 /dev/ubda rw\n\
                    40 21 147:0 / /mnt/drbd0 rw - ext4 /dev/drbd0 rw\n\
                    41 21 147:1 / /mnt/a\\040b rw shared:1 - ext4 /dev/drbd1 ro\n\
                    nonsense\n";
        let mounted = |device, point: &str, read_only| Mounted {
            device,
            point: point.into(),
            read_only,
        };
        let found = all(text);
        assert_eq!(
            found,
            [
                mounted((98, 0), "/", false),
                mounted((147, 0), "/mnt/drbd0", false),
                mounted((147, 1), "/mnt/a b", true)
            ]
        );
        assert!(!found[0].is_drbd() && found[1].is_drbd());
        assert_eq!(all(""), []);
    }
}
