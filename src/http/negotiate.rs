//! Accept-Encoding against the content codings in which a file exists (RFC 9110 §12.5.3).
//!
//! It must not know files or responses: a set of codings goes in, one of them or none comes out.
//!
//! Invariant: a coding is chosen only if the client named it, or `*`, with a weight above zero.
//! Everything else, and every doubt, ends with the identity, which all clients can read.

/// A content coding that may lie precompressed beside a file (RFC 9110 §8.4.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Br,
    /// Zstandard (RFC 8878).
    Zstd,
    /// The GNU zip format (RFC 1952).
    Gzip,
}

impl Coding {
    /// All codings, the preferred one first: at equal weight the smaller file wins.
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// Its name in Content-Encoding (RFC 9110 §8.4.1).
    pub const fn token(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What a file in this coding has at the end of its name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Br => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// The coding with this name, in any case; `x-gzip` is an old name of gzip (RFC 9110 §8.4.1.3).
    fn parse(name: &[u8]) -> Option<Self> {
        let is_named = |coding: &Self| name.eq_ignore_ascii_case(coding.token().as_bytes());
        let old = || name.eq_ignore_ascii_case(b"x-gzip").then_some(Self::Gzip);
        Self::ALL.into_iter().find(is_named).or_else(old)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of content codings in one byte.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct CodingSet(
    /// INVARIANT: only bits of [`Coding::ALL`] are set.
    u8,
);

impl CodingSet {
    /// The set of no coding.
    pub const EMPTY: Self = Self(0);

    /// Every coding.
    pub const ALL: Self = Self((1 << Coding::ALL.len()) - 1);

    /// Puts a coding into the set.
    pub const fn insert(&mut self, coding: Coding) {
        self.0 |= coding.bit();
    }

    /// Takes a coding out of the set.
    pub const fn remove(&mut self, coding: Coding) {
        self.0 &= !coding.bit();
    }

    /// Whether a coding is in the set.
    pub const fn contains(self, coding: Coding) -> bool {
        self.0 & coding.bit() != 0
    }

    /// Whether the set has no coding.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The codings of this set that are in the other one, too.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The codings of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The codings of this set that are not in the other one.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The codings of the set, the preferred one first.
    pub fn iter(self) -> impl Iterator<Item = Coding> {
        Coding::ALL
            .into_iter()
            .filter(move |&coding| self.contains(coding))
    }
}

impl FromIterator<Coding> for CodingSet {
    fn from_iter<I: IntoIterator<Item = Coding>>(codings: I) -> Self {
        let mut set = Self::EMPTY;
        codings.into_iter().for_each(|coding| set.insert(coding));
        set
    }
}

/// What an Accept-Encoding field asks for (RFC 9110 §12.5.3).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The weight of each coding, in the order of [`Coding::ALL`].
    weights: [Weight; 3],
    /// The weight of `identity` if the client named it, else 0: `*` does not mean it.
    identity: Weight,
}

/// A qvalue in thousandths, 0 to 1000 (RFC 9110 §12.4.2).
type Weight = u16;

/// Reads an Accept-Encoding field, its lines combined (RFC 9110 §12.5.3).
///
/// A malformed element is as absent, and of repeated ones the last counts. The RFC lets a server
/// send any coding to a client without the field; such clients are scripts that do not decode, so
/// they get the identity.
pub fn parse(value: Option<&[u8]>) -> Accepted {
    let mut weights = [None; 3];
    let mut identity = None;
    let mut others = None;
    for element in value.unwrap_or_default().split(|&byte| byte == b',') {
        let Some((name, weight)) = parse_element(element) else {
            continue;
        };
        if let Some(coding) = Coding::parse(name) {
            weights[coding as usize] = Some(weight);
        } else if name == b"*" {
            others = Some(weight);
        } else if name.eq_ignore_ascii_case(b"identity") {
            identity = Some(weight);
        }
    }
    Accepted {
        weights: weights.map(|weight| weight.or(others).unwrap_or(0)),
        identity: identity.unwrap_or(0),
    }
}

impl Accepted {
    /// The codings with a weight above zero (RFC 9110 §12.5.3).
    pub fn wanted(&self) -> CodingSet {
        Coding::ALL
            .into_iter()
            .filter(|&coding| self.weight(coding) > 0)
            .collect()
    }

    /// The coding to send of those that exist, `None` for the identity (RFC 9110 §12.5.3).
    ///
    /// The identity wins if the client gave it a higher weight than any coding that exists. It is
    /// also the answer when the client refuses it but nothing else fits: a body that may be
    /// unreadable serves better than a 406.
    pub fn choose(&self, available: CodingSet) -> Option<Coding> {
        let mut best = None;
        let mut best_weight = 0;
        for coding in available.iter() {
            if self.weight(coding) > best_weight {
                best = Some(coding);
                best_weight = self.weight(coding);
            }
        }
        best.filter(|_| self.identity <= best_weight)
    }

    fn weight(&self, coding: Coding) -> Weight {
        self.weights[coding as usize]
    }
}

/// `codings [ OWS ";" OWS "q=" qvalue ]`; the weight is 1 if it is not given (RFC 9110 §12.4.2).
fn parse_element(element: &[u8]) -> Option<(&[u8], Weight)> {
    let Some(semicolon) = memchr::memchr(b';', element) else {
        return Some((element.trim_ascii(), 1000));
    };
    let (name, parameter) = (
        element[..semicolon].trim_ascii(),
        element[semicolon + 1..].trim_ascii(),
    );
    match parameter {
        [b'q' | b'Q', b'=', qvalue @ ..] => Some((name, parse_qvalue(qvalue)?)),
        _ => None,
    }
}

/// `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )` (RFC 9110 §12.4.2).
fn parse_qvalue(qvalue: &[u8]) -> Option<Weight> {
    let (whole, decimals) = match qvalue {
        [whole @ (b'0' | b'1')] => (whole, [].as_slice()),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut weight = Weight::from(whole - b'0') * 1000;
    for (digit, unit) in decimals.iter().zip([100, 10, 1]) {
        weight += unit * Weight::try_from(char::from(*digit).to_digit(10)?).ok()?;
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A set from letters: b, z, g.
    fn set(letters: &str) -> CodingSet {
        Coding::ALL
            .into_iter()
            .filter(|coding| letters.contains(&coding.token()[..1]))
            .collect()
    }

    fn choose(value: &str, available: &str) -> Option<&'static str> {
        parse(Some(value.as_bytes()))
            .choose(set(available))
            .map(Coding::token)
    }

    #[test]
    fn wanted_codings() {
        for (value, expected) in [
            ("", ""),
            ("gzip", "g"),
            ("gzip, deflate, br, zstd", "bzg"),
            ("GZip , BR\t", "bg"),
            ("x-gzip", "g"),
            ("*", "bzg"),
            ("*;q=0", ""),
            ("br, *;q=0", "b"),
            ("*;q=0, br", "b"),
            ("*, br;q=0", "zg"),
            ("gzip;q=0", ""),
            ("gzip;q=0.000", ""),
            ("gzip;q=0.", ""),
            ("gzip;q=0.001", "g"),
            ("gzip;q=1.000", "g"),
            ("gzip;Q=1.", "g"),
            ("gzip ; q=0.5", "g"),
            ("identity", ""),
            ("deflate", ""),
            ("gzip;q=0, gzip", "g"),
            (",, gzip ,", "g"),
            // Malformed elements are ignored, the others count.
            ("gzip;q=1.001, br", "b"),
            ("gzip;q=2, br", "b"),
            ("gzip;q=0.0001, br", "b"),
            ("gzip;q=.5, br", "b"),
            ("gzip;q=, br", "b"),
            ("gzip;q=-1, br", "b"),
            ("gzip;q =1, br", "b"),
            ("gzip;x=1, br", "b"),
            ("gzip;q=1;x, br", "b"),
            ("gzip;, br", "b"),
            ("gzip br", ""),
            ("gzipped", ""),
        ] {
            assert_eq!(
                parse(Some(value.as_bytes())).wanted(),
                set(expected),
                "{value}"
            );
        }
        assert!(parse(None).wanted().is_empty());
        assert_eq!(parse(None).choose(set("bzg")), None);
    }

    #[test]
    fn the_best_available_coding_is_chosen() {
        for (value, available, expected) in [
            ("gzip, deflate, br, zstd", "bzg", Some("br")),
            ("gzip, deflate, br, zstd", "zg", Some("zstd")),
            ("gzip, deflate, br, zstd", "g", Some("gzip")),
            ("gzip, deflate, br, zstd", "", None),
            ("gzip, deflate", "b", None),
            ("gzip;q=1.0, br;q=0.9", "bg", Some("gzip")),
            ("gzip;q=0.001, br;q=0.002", "bg", Some("br")),
            ("gzip;q=0.5, *;q=0.8", "bzg", Some("br")),
            ("identity, gzip;q=0.5", "g", None),
            ("identity;q=0.5, gzip;q=0.5", "g", Some("gzip")),
            ("identity;q=0.5, gzip", "g", Some("gzip")),
            ("identity;q=0.5, gzip, br;q=0.2", "b", None),
            // A weight of `*` is no weight of the identity.
            ("gzip;q=0.5, *;q=1, br;q=0, zstd;q=0", "g", Some("gzip")),
            ("identity;q=0", "g", None),
            ("identity;q=0, *;q=0", "bzg", None),
            ("identity;q=0, gzip;q=0.1", "g", Some("gzip")),
        ] {
            assert_eq!(choose(value, available), expected, "{value} of {available}");
        }
    }

    #[test]
    fn sets_behave_as_sets() {
        for a in 0..8 {
            for b in 0..8 {
                let (a, b) = (CodingSet(a), CodingSet(b));
                for coding in Coding::ALL {
                    let (in_a, in_b) = (a.contains(coding), b.contains(coding));
                    assert_eq!(a.union(b).contains(coding), in_a || in_b);
                    assert_eq!(a.intersection(b).contains(coding), in_a && in_b);
                    assert_eq!(a.difference(b).contains(coding), in_a && !in_b);
                    let mut changed = a;
                    changed.insert(coding);
                    assert!(changed.contains(coding));
                    changed.remove(coding);
                    assert!(!changed.contains(coding));
                }
                assert_eq!(a.iter().collect::<CodingSet>(), a);
                assert_eq!(a.is_empty(), a == CodingSet::EMPTY);
            }
        }
    }

    proptest! {
        /// The oracle sorts what is available by weight and keeps the order of preference.
        #[test]
        fn choice_agrees_with_sorting(
            weights in prop::array::uniform4(prop::option::of(0_u16..=1000)),
            bits in 0_u8..8,
        ) {
            let names = ["br", "zstd", "gzip", "identity"];
            let elements: Vec<String> = names
                .iter()
                .zip(weights)
                .filter_map(|(name, weight)| weight.map(|weight| {
                    format!("{name};q={}.{:03}", weight / 1000, weight % 1000)
                }))
                .collect();
            let accepted = parse(Some(elements.join(", ").as_bytes()));
            let available = CodingSet(bits);
            let mut candidates: Vec<(u16, Coding)> = Coding::ALL
                .into_iter()
                .zip(weights)
                .filter(|&(coding, _)| available.contains(coding))
                .filter_map(|(coding, weight)| weight.map(|weight| (weight, coding)))
                .filter(|&(weight, _)| weight > 0)
                .collect();
            candidates.sort_by_key(|&(weight, _)| std::cmp::Reverse(weight));
            let expected = candidates.first().filter(|best| best.0 >= weights[3].unwrap_or(0));
            prop_assert_eq!(accepted.choose(available), expected.map(|best| best.1));
        }

        #[test]
        fn what_is_chosen_is_wanted_and_available(
            value in "[gzip*br;q=01., ]{0,24}",
            bits in 0_u8..8,
        ) {
            let accepted = parse(Some(value.as_bytes()));
            if let Some(coding) = accepted.choose(CodingSet(bits)) {
                prop_assert!(accepted.wanted().intersection(CodingSet(bits)).contains(coding));
            }
        }
    }
}
