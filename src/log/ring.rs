//! The last lines, in memory: a log that wears out no flash and is gone with the process.

use std::collections::VecDeque;

/// The last so many bytes of lines. Only whole lines are kept; one that alone is too long is not.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    bytes_max: usize,
}

impl Ring {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            bytes_max,
        }
    }

    /// Adds a line with its end, and lets the oldest go that have no room beside it. False if it
    /// has none itself.
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        if line.len() > self.bytes_max {
            return false;
        }
        while self.bytes.len() + line.len() > self.bytes_max {
            let end = self.bytes.iter().position(|&byte| byte == b'\n');
            self.bytes.drain(..=end.unwrap_or(self.bytes.len() - 1));
        }
        let needed = self.bytes.len() + line.len();
        if self.bytes.capacity() < needed {
            // Doubling must not go beyond the bound: it is what the operator has granted.
            let wanted = (self.bytes.capacity() * 2).clamp(needed, self.bytes_max);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend(line);
        true
    }

    /// All lines, the oldest first, in two pieces.
    pub(super) fn text(&self) -> [&[u8]; 2] {
        self.bytes.as_slices().into()
    }

    /// Takes over the lines of another one.
    pub(super) fn adopt(&mut self, other: &Self) {
        for line in other.text().concat().split_inclusive(|&byte| byte == b'\n') {
            self.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_lines_stay() {
        let mut ring = Ring::new(10);
        for (line, text) in [
            ("one\n", "one\n"),
            ("two\n", "one\ntwo\n"),
            ("3\n", "one\ntwo\n3\n"),
            ("4\n", "two\n3\n4\n"),
            ("sixty-six\n", "sixty-six\n"),
            ("x\n", "x\n"),
        ] {
            assert!(ring.push(line.as_bytes()));
            assert_eq!(String::from_utf8(ring.text().concat()).unwrap(), text);
            assert!(ring.bytes.capacity() <= 10);
        }
        assert!(!ring.push(b"seventy-seven\n"));
        assert_eq!(ring.text().concat(), b"x\n");
    }

    #[test]
    fn no_line_makes_it_larger_than_it_may_be() {
        for first in 1..100 {
            for second in 1..=100 {
                let mut ring = Ring::new(100);
                for length in [1, first, second] {
                    ring.push(&vec![b'x'; length]);
                    assert!(ring.bytes.capacity() <= 100, "{first} {second}");
                }
            }
        }
    }

    #[test]
    fn a_ring_of_another_size_takes_the_lines_over() {
        let mut old = Ring::new(100);
        for line in ["one\n", "two\n", "three\n"] {
            old.push(line.as_bytes());
        }
        let mut new = Ring::new(10);
        new.adopt(&old);
        assert_eq!(new.text().concat(), b"two\nthree\n");
    }
}
