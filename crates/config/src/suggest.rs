//! "Did you mean".

/// The candidate that `word` is most likely a slip of, if any is close enough to be worth saying.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = normal(word);
    // A third of the letters may be wrong: beyond that, a suggestion misleads.
    let limit = (word.len() / 3).max(1);
    candidates
        .map(|c| (distance(&word, &normal(c)), c))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// `MountPoint`, `mount-point` and `mount_point` are one word.
fn normal(word: &str) -> Vec<char> {
    word.chars()
        .take(64)
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Edit distance where swapping two neighbours counts once, as the most common slip of all.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 4] = ["mount_point", "mount_options", "resource", "size"];

    fn suggest(word: &str) -> Option<&'static str> {
        closest(word, WORDS.into_iter())
    }

    #[test]
    fn slips_are_recognised() {
        assert_eq!(suggest("mount_pont"), Some("mount_point"));
        assert_eq!(suggest("mountpoint"), Some("mount_point"));
        assert_eq!(suggest("MountPoint"), Some("mount_point"));
        assert_eq!(suggest("mount-option"), Some("mount_options"));
        assert_eq!(suggest("seiz"), None);
        assert_eq!(suggest("szie"), Some("size"));
    }

    #[test]
    fn a_different_word_gets_no_suggestion() {
        assert_eq!(suggest("colour"), None);
        assert_eq!(suggest(""), None);
    }

    #[test]
    fn swapped_neighbours_count_once() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("ab"), &chars("ba")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
    }
}
