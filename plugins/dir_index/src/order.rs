//! The order of a listing: directories first, then by what was asked for.

use std::cmp::Ordering;

use crate::directory::{Entry, Kind};

/// By what entries are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Name,
    Size,
    Date,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) key: Key,
    pub(crate) is_descending: bool,
}

impl Order {
    /// `sort=name|size|date` and `order=asc|desc` of a query. What is not understood counts as not
    /// said: the query may hold something for somebody else.
    pub(crate) fn of_query(query: &[u8]) -> Self {
        let mut order = Self {
            key: Key::Name,
            is_descending: false,
        };
        for part in query.split(|&byte| byte == b'&') {
            match part {
                b"sort=name" => order.key = Key::Name,
                b"sort=size" => order.key = Key::Size,
                b"sort=date" => order.key = Key::Date,
                b"order=asc" => order.is_descending = false,
                b"order=desc" => order.is_descending = true,
                _ => {}
            }
        }
        order
    }

    /// Sorts. Directories have no size that would mean anything, so they go by name then.
    pub(crate) fn sort(self, entries: &mut [Entry]) {
        entries.sort_unstable_by(|a, b| {
            let is_file = |entry: &Entry| entry.kind == Kind::File;
            is_file(a)
                .cmp(&is_file(b))
                .then_with(|| self.directed(self.compare(a, b)))
                .then_with(|| natural(&a.name, &b.name))
        });
    }

    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        match self.key {
            Key::Name => natural(&a.name, &b.name),
            Key::Size if a.kind == Kind::File => a.bytes.cmp(&b.bytes),
            Key::Size => Ordering::Equal,
            Key::Date => a.modified.cmp(&b.modified),
        }
    }

    fn directed(self, ordering: Ordering) -> Ordering {
        if self.is_descending {
            ordering.reverse()
        } else {
            ordering
        }
    }
}

/// As people would order names: digits count as numbers, `A` and `a` are the same unless nothing
/// else differs. A total order.
pub(crate) fn natural(a: &[u8], b: &[u8]) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while let (Some(&first_a), Some(&first_b)) = (rest_a.first(), rest_b.first()) {
        let ordering = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            number(&mut rest_a).cmp(&number(&mut rest_b))
        } else {
            (rest_a, rest_b) = (&rest_a[1..], &rest_b[1..]);
            first_a
                .to_ascii_lowercase()
                .cmp(&first_b.to_ascii_lowercase())
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

/// Takes the number at the beginning, as something that compares like its value.
fn number<'a>(rest: &mut &'a [u8]) -> (usize, &'a [u8]) {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    let zeros = number.iter().take_while(|&&byte| byte == b'0').count();
    let number = &number[zeros..];
    (number.len(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: Kind, bytes: u64, modified: i64) -> Entry {
        Entry {
            name: name.as_bytes().into(),
            kind,
            bytes,
            modified,
        }
    }

    fn sorted(query: &str) -> String {
        let mut entries = vec![
            entry("b10", Kind::File, 5, 3),
            entry("z", Kind::Directory, 4096, 9),
            entry("B9", Kind::File, 7, 1),
            entry("a", Kind::File, 5, 2),
            entry("y", Kind::Directory, 9999, 8),
        ];
        Order::of_query(query.as_bytes()).sort(&mut entries);
        let names: Vec<_> = entries
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.name))
            .collect();
        names.join(" ")
    }

    #[test]
    fn directories_are_first_in_every_order() {
        for (query, expected) in [
            ("", "y z a B9 b10"),
            ("sort=name&order=desc", "z y b10 B9 a"),
            ("sort=size", "y z a b10 B9"),
            ("sort=size&order=desc", "y z B9 a b10"),
            ("sort=date", "y z B9 a b10"),
            ("order=desc&sort=date", "z y b10 a B9"),
            ("sort=colour&order=up&x", "y z a B9 b10"),
        ] {
            assert_eq!(sorted(query), expected, "{query}");
        }
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let names = [
            "File1",
            "file2",
            "file10",
            "file10a",
            "file010b",
            "file11",
            "filf",
            "v1.2",
            "v1.10",
            "v99999999999999999999999",
            "v100000000000000000000000",
        ];
        for (at, a) in names.iter().enumerate() {
            for (of, b) in names.iter().enumerate() {
                assert_eq!(natural(a.as_bytes(), b.as_bytes()), at.cmp(&of), "{a} {b}");
            }
        }
    }

    #[test]
    fn it_is_a_total_order() {
        let parts = [
            "", "0", "00", "1", "01", "10", "a", "A", "-", "é", "9a", "a9",
        ];
        let names: Vec<String> = parts
            .iter()
            .flat_map(|a| parts.iter().map(move |b| format!("{a}{b}")))
            .collect();
        let compare = |a: &String, b: &String| natural(a.as_bytes(), b.as_bytes());
        for a in &names {
            for b in &names {
                assert_eq!(compare(a, b), compare(b, a).reverse(), "{a} {b}");
                assert_eq!(compare(a, b).is_eq(), a == b, "{a} {b}");
                for c in &names {
                    if compare(a, b).is_lt() && compare(b, c).is_lt() {
                        assert!(compare(a, c).is_lt(), "{a} {b} {c}");
                    }
                }
            }
        }
    }
}
