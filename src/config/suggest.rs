//! "Did you mean": the known word that is nearest to an unknown one.

/// More letters than this must not differ, or the guess is not worth making.
const DISTANCE_MAX: usize = 2;

/// A word that is cut off is still meant if so much of it is left.
const START_LEAST: usize = 3;

/// The word of `known` that `name` probably was meant to be: a few letters differ, or it is the
/// start of only one of them, as `warn` is of `warning`.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = (DISTANCE_MAX + 1, "");
    let mut longer = (0, "");
    for known in known {
        best = best.min((distance(name, known), known));
        if name.len() >= START_LEAST && known.starts_with(name) {
            longer = (longer.0 + 1, known);
        }
    }
    match (best, longer) {
        ((0..=DISTANCE_MAX, known), _) | (_, (1, known)) => Some(known),
        _ => None,
    }
}

/// How many letters must be changed, added or removed (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
