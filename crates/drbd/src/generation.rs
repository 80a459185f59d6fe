//! Which DRBD the kernel runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Generation {
    /// The DRBD of mainline kernels: 8.4 (and older ones, which nobody runs).
    #[serde(rename = "8.4")]
    V84,
    /// LINBIT's own module: 9 and later.
    #[serde(rename = "9")]
    V9,
}

/// Version of the kernel module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version {
    /// Such as 8.
    pub major: u32,
    /// Such as 4.
    pub minor: u32,
    /// Such as 11.
    pub patch: u32,
}

impl Version {
    /// Reads `8.4.11`, as in `/sys/module/drbd/version`; what follows the numbers
    /// (`9.3.0-rc.1`) is ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = leading_number(parts.next()?)?;
        let patch = parts.next().and_then(leading_number).unwrap_or(0);
        Some(Self {
            major,
            minor,
            patch,
        })
    }

    /// The generation it belongs to.
    #[must_use]
    pub fn generation(&self) -> Generation {
        if self.major >= 9 {
            Generation::V9
        } else {
            Generation::V84
        }
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a version of DRBD"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_follows_from_the_version() {
        let version = Version::parse("8.4.11\n").unwrap();
        assert_eq!(
            version,
            Version {
                major: 8,
                minor: 4,
                patch: 11
            }
        );
        assert_eq!(version.generation(), Generation::V84);
        assert_eq!(
            Version::parse("9.1.23").unwrap().generation(),
            Generation::V9
        );
        assert_eq!(Version::parse("9.3.0-rc.1").unwrap().to_string(), "9.3.0");
        assert_eq!(Version::parse("10.0").unwrap().generation(), Generation::V9);
    }

    #[test]
    fn nonsense_is_no_version() {
        for text in ["", "8", "x.y.z", "8.", ".4", "99999999999.1.1"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }
}
