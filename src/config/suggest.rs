//! "Did you mean": the known word that is nearest to an unknown one.

/// More letters than this must not differ, or the guess is not worth making.
const DISTANCE_MAX: usize = 2;

/// The word of `known` that `name` probably was meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = known
        .into_iter()
        .map(|known| (distance(name, known), known))
        .min();
    nearest
        .filter(|&(distance, _)| distance <= DISTANCE_MAX)
        .map(|(_, known)| known)
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
