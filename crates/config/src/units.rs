//! Durations and sizes as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Units of time, as systemd spells them (systemd.time(7)), in milliseconds.
const TIME: [(&[&str], u64); 5] = [
    (&["ms", "msec"], 1),
    (&["s", "sec", "second", "seconds"], 1_000),
    (&["m", "min", "minute", "minutes"], 60_000),
    (&["h", "hr", "hour", "hours"], 3_600_000),
    (&["d", "day", "days"], 86_400_000),
];

/// Units of size, in bytes.
const SIZE: [(&str, u64); 9] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

/// Longest duration: far above any sensible time-out, and far below where sums of them overflow.
const LONGEST: u64 = 366 * 86_400_000;

/// Reads `30s`, `1min 30s`, `500ms`, `10min`, `0`.
///
/// # Errors
/// What is wrong, to follow "invalid duration: ".
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut total: u64 = 0;
    // Units must shrink, so that "30s 1min" and "1s 1s" are seen as the slips they are.
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let (number, unit, behind) = split(rest)?;
        let Some((_, factor)) = TIME.iter().find(|(names, _)| names.contains(&unit)) else {
            return Err(if unit.is_empty() {
                format!("`{number}` has no unit")
            } else {
                format!("`{unit}` is not a unit of time (ms, s, min, h, d)")
            });
        };
        if *factor >= last {
            return Err("units must go from large to small, each once".to_owned());
        }
        last = *factor;
        total = number
            .checked_mul(*factor)
            .and_then(|n| n.checked_add(total))
            .filter(|n| *n <= LONGEST)
            .ok_or("it is longer than a year")?;
        rest = behind.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Reads `2000MiB`, `2GiB`, `2GB`, `512 KiB`, `4096B`; capitals do not matter.
///
/// # Errors
/// What is wrong, to follow "invalid size: ".
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let (number, unit, behind) = split(text)?;
    if !behind.trim().is_empty() {
        return Err(format!("`{}` stands behind the unit", behind.trim()));
    }
    let lower = unit.to_ascii_lowercase();
    let Some((_, factor)) = SIZE.iter().find(|(name, _)| *name == lower) else {
        return Err(match lower.as_str() {
            "" => format!("`{number}` has no unit"),
            "k" | "m" | "g" | "t" => {
                let unit = unit.to_ascii_uppercase();
                format!("`{unit}` can mean {unit}iB (powers of 1024) or {unit}B (powers of 1000)")
            }
            _ => format!("`{unit}` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)"),
        });
    };
    number
        .checked_mul(*factor)
        .filter(|n| i64::try_from(*n).is_ok())
        .ok_or_else(|| "it is larger than any file can be".to_owned())
}

/// Splits a leading whole number and the unit behind it off `text`.
fn split(text: &str) -> Result<(u64, &str, &str), String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    if digits == 0 {
        return Err(format!("`{text}` does not start with a whole number"));
    }
    let number = text[..digits]
        .parse()
        .map_err(|_| format!("`{}` is too large", &text[..digits]))?;
    let rest = text[digits..].trim_start();
    if rest.starts_with(['.', ',']) {
        return Err("write a whole number, with a smaller unit if need be".to_owned());
    }
    let unit = rest
        .find(|c: char| !c.is_alphabetic())
        .unwrap_or(rest.len());
    Ok((number, &rest[..unit], &rest[unit..]))
}

/// Writes a duration as [`duration`] reads it: `1min 30s`, `500ms`, `0`.
#[must_use]
pub fn format_duration(d: Duration) -> String {
    let mut rest = u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (name, factor) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("min", 60_000),
        ("s", 1_000),
    ] {
        if rest >= factor {
            parts.push(format!("{}{name}", rest / factor));
            rest %= factor;
        }
    }
    if rest > 0 {
        parts.push(format!("{rest}ms"));
    }
    if parts.is_empty() {
        return "0".to_owned();
    }
    parts.join(" ")
}

/// Writes a size as [`size`] reads it, in the largest binary unit that divides it: `2000MiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units
        .iter()
        .find(|(_, shift)| bytes > 0 && bytes % (1 << shift) == 0)
    {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// Writes a time as people read it: `2026-11-24 20:30:15 UTC`. Before 1970 there is none.
#[must_use]
pub fn format_time(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's `civil_from_days`, for days from 1970 on: years begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_that_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_552_215, "2026-11-24 20:30:15 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(format_time(time), text);
        }
    }

    fn ms(text: &str) -> Result<u128, String> {
        duration(text).map(|d| d.as_millis())
    }

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(ms("30s"), Ok(30_000));
        assert_eq!(ms("1min 30s"), Ok(90_000));
        assert_eq!(ms("1min30s"), Ok(90_000));
        assert_eq!(ms(" 500 ms "), Ok(500));
        assert_eq!(ms("10min"), Ok(600_000));
        assert_eq!(ms("2h"), Ok(7_200_000));
        assert_eq!(ms("0"), Ok(0));
    }

    #[test]
    fn bad_durations_say_why() {
        assert!(ms("30").unwrap_err().contains("no unit"));
        assert!(ms("1.5s").unwrap_err().contains("whole number"));
        assert!(ms("30x").unwrap_err().contains("not a unit"));
        assert!(ms("30s 1min").unwrap_err().contains("large to small"));
        assert!(ms("soon").unwrap_err().contains("whole number"));
        assert!(ms("-1s").unwrap_err().contains("whole number"));
        assert!(
            ms("99999999999999999999s")
                .unwrap_err()
                .contains("too large")
        );
        assert!(ms("18446744073709551615d").unwrap_err().contains("year"));
        assert!(ms("").is_err());
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size("2000MiB"), Ok(2000 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert_eq!(size("512 kib"), Ok(512 << 10));
        assert_eq!(size("4096B"), Ok(4096));
    }

    #[test]
    fn bad_sizes_say_why() {
        assert!(size("2000").unwrap_err().contains("no unit"));
        assert!(size("2G").unwrap_err().contains("GiB"));
        assert!(size("2GiB 3").unwrap_err().contains("behind the unit"));
        assert!(size("9999999TiB").unwrap_err().contains("larger"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(n in 0..=LONGEST, bytes in 0..=i64::MAX as u64) {
            let d = Duration::from_millis(n);
            proptest::prop_assert_eq!(duration(&format_duration(d)), Ok(d));
            proptest::prop_assert_eq!(size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_them_panic(text in ".*") {
            let _ = duration(&text);
            let _ = size(&text);
        }
    }
}
