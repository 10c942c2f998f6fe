//! Password hashes as `htpasswd`, `openssl passwd` and crypt(3) write them.
//!
//! The primitives are those of the RustCrypto crates and `bcrypt`; here are the notation and the
//! schedule of Apache's MD5. Plain text and the old DES hash are refused. What a hash may cost is
//! bounded, as one thread computes them all.

use core::hint::black_box;

use md5::{Digest, Md5};

use crate::base64;

/// 2 to the power of this: some seconds on a small device.
const BCRYPT_COST_MAX: u32 = 15;

/// As above.
const ROUNDS_MAX: u32 = 1_000_000;

/// What `$5$` and `$6$` do if they do not say it.
const ROUNDS_DEFAULT: u32 = 5_000;

/// A stored hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hash {
    scheme: Scheme,
    /// What the password must come to, in the scheme's own form.
    expected: Vec<u8>,
    /// As it was written.
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Apr1 { salt: Vec<u8> },
    Sha1,
    Bcrypt { cost: u32, salt: [u8; 16] },
    Sha256 { rounds: u32, salt: Vec<u8> },
    Sha512 { rounds: u32, salt: Vec<u8> },
}

impl Hash {
    /// From a password file.
    ///
    /// # Errors
    /// It is none, or too costly; the text says why.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, expected) = if let Some(rest) = text.strip_prefix("{SHA}") {
            let sum = base64::decode(rest.as_bytes()).filter(|sum| sum.len() == 20);
            (
                Scheme::Sha1,
                sum.ok_or("a {SHA} hash is base64 of 20 bytes")?,
            )
        } else if let Some(rest) = text.strip_prefix("$apr1$") {
            let (salt, sum) = split_salt(rest, 8, 22)?;
            (Scheme::Apr1 { salt }, sum)
        } else if let Some(rest) = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
        {
            parse_bcrypt(rest)?
        } else if let Some(rest) = text.strip_prefix("$5$") {
            let (rounds, rest) = split_rounds(rest)?;
            let (salt, sum) = split_salt(rest, 16, 43)?;
            (Scheme::Sha256 { rounds, salt }, sum)
        } else if let Some(rest) = text.strip_prefix("$6$") {
            let (rounds, rest) = split_rounds(rest)?;
            let (salt, sum) = split_salt(rest, 16, 86)?;
            (Scheme::Sha512 { rounds, salt }, sum)
        } else {
            return Err(
                "no hash that is known: expected $2y$ (htpasswd -B), $6$, $5$, $apr1$ or {SHA}; \
                 plain text and the old crypt are refused"
                    .into(),
            );
        };
        Ok(Self {
            scheme,
            expected,
            text: text.to_owned(),
        })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is made for guessing: one fast round without salt.
    pub(crate) fn is_weak(&self) -> bool {
        self.scheme == Scheme::Sha1
    }

    /// Whether a password is the one. Slow by design.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let found = match &self.scheme {
            Scheme::Apr1 { salt } => apr1(password, salt),
            Scheme::Sha1 => sha1::Sha1::digest(password).to_vec(),
            Scheme::Bcrypt { cost, salt } => bcrypt(*cost, *salt, password),
            Scheme::Sha256 { rounds, salt } => {
                let sum = sha_crypt::sha256_crypt(password, salt, params(*rounds));
                transposed(&sum, [0, 10, 20], |[a, b, c]| [c + 1, a + 1, b + 1])
            }
            Scheme::Sha512 { rounds, salt } => {
                let sum = sha_crypt::sha512_crypt(password, salt, params(*rounds));
                transposed(&sum, [0, 21, 42], |[a, b, c]| [b + 1, c + 1, a + 1])
            }
        };
        is_same(&found, &self.expected)
    }
}

/// Compares in a time that does not tell where the difference is.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let difference = a
        .iter()
        .zip(b)
        .fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    a.len() == b.len() && difference == 0
}

/// `COST$` and 53 digits: 16 bytes of salt, 23 of the sum.
fn parse_bcrypt(text: &str) -> Result<(Scheme, Vec<u8>), String> {
    let expected = "a bcrypt hash is $2y$, a cost of two digits, $, and 53 digits";
    let (cost, digits) = text.split_once('$').ok_or(expected)?;
    let is_cost = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let cost: u32 = cost.parse().ok().filter(|_| is_cost).ok_or(expected)?;
    if !(4..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(format!(
            "the cost {cost} is not allowed; expected 4 to {BCRYPT_COST_MAX}"
        ));
    }
    let (salt, sum) = digits
        .as_bytes()
        .split_at_checked(22)
        .filter(|(_, sum)| sum.len() == 31)
        .ok_or(expected)?;
    let salt = base64::decode_bcrypt(salt).ok_or(expected)?;
    let salt = <[u8; 16]>::try_from(salt).map_err(|_| expected)?;
    let sum = base64::decode_bcrypt(sum).ok_or(expected)?;
    Ok((Scheme::Bcrypt { cost, salt }, sum))
}

/// An optional `rounds=N$` and the rest.
fn split_rounds(text: &str) -> Result<(u32, &str), String> {
    let Some((rounds, rest)) = text
        .strip_prefix("rounds=")
        .and_then(|text| text.split_once('$'))
    else {
        return Ok((ROUNDS_DEFAULT, text));
    };
    match rounds.parse() {
        Ok(rounds) if (sha_crypt::Params::ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds) => {
            Ok((rounds, rest))
        }
        _ => Err(format!(
            "rounds={rounds} is not allowed; expected {} to {ROUNDS_MAX}",
            sha_crypt::Params::ROUNDS_MIN
        )),
    }
}

/// `SALT$SUM`, the sum being so many digits.
fn split_salt(text: &str, salt_max: usize, digits: usize) -> Result<(Vec<u8>, Vec<u8>), String> {
    match text.split_once('$') {
        Some((salt, sum))
            if salt.len() <= salt_max
                && sum.len() == digits
                && sum.bytes().all(|byte| DIGITS.contains(&byte)) =>
        {
            Ok((salt.into(), sum.into()))
        }
        _ => Err(format!(
            "cut off or damaged: expected a salt of at most {salt_max} bytes, $, and {digits} digits"
        )),
    }
}

fn params(rounds: u32) -> sha_crypt::Params {
    sha_crypt::Params::new(rounds).expect("checked when the hash was read")
}

/// As everywhere: the password ends with NUL, and what is beyond 72 bytes does not count.
fn bcrypt(cost: u32, salt: [u8; 16], password: &[u8]) -> Vec<u8> {
    let key: Vec<u8> = password.iter().copied().chain([0]).take(72).collect();
    bcrypt::bcrypt(cost, salt, &key)[..23].to_vec()
}

/// Apache's variant of the MD5 crypt of FreeBSD.
fn apr1(password: &[u8], salt: &[u8]) -> Vec<u8> {
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut first = Md5::new()
        .chain_update(password)
        .chain_update(b"$apr1$")
        .chain_update(salt);
    for part in password.chunks(inner.len()) {
        first.update(&inner[..part.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut sum = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        let (before, after) = if round % 2 == 1 {
            (password, &sum[..])
        } else {
            (&sum[..], password)
        };
        next.update(before);
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(after);
        sum = next.finalize();
    }
    let mut text = Vec::with_capacity(22);
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        push_digits(&mut text, [sum[a], sum[b], sum[c]], 4);
    }
    push_digits(&mut text, [0, 0, sum[11]], 2);
    text
}

/// The digits of a sum whose bytes are taken in an order of threes; what is left over comes last.
fn transposed(sum: &[u8], first: [usize; 3], next: impl Fn([usize; 3]) -> [usize; 3]) -> Vec<u8> {
    let mut text = Vec::with_capacity(86);
    let mut at = first;
    for _ in 0..sum.len() / 3 {
        push_digits(&mut text, at.map(|at| sum[at]), 4);
        at = next(at);
    }
    match sum[sum.len() / 3 * 3..] {
        [a] => push_digits(&mut text, [0, 0, a], 2),
        [a, b] => push_digits(&mut text, [0, b, a], 3),
        _ => {}
    }
    text
}

/// The digits of crypt(3).
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Three bytes as digits, the lowest six bits first.
fn push_digits(text: &mut Vec<u8>, [a, b, c]: [u8; 3], count: usize) {
    let mut bits = u32::from_be_bytes([0, a, b, c]);
    for _ in 0..count {
        text.push(DIGITS[(bits & 63) as usize]);
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `htpasswd`, `openssl passwd` and crypt(3).
    const VECTORS: &[(&str, &str)] = &[
        ("open sesame", "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac="),
        ("open sesame", "$apr1$saltsalt$HIDXe7D36X22w1CH4M1cQ."),
        ("open sesame", "$apr1$cntw6smq$nUWnQFUv.JXIDySum9PoB1"),
        ("", "$apr1$a$lsAcX0kKaMIVmrCtUuk5b0"),
        (
            "open sesame",
            "$2y$04$5V3K2Ye.v6kM6nMjKkC7xujmLZXbacK8TFSIeqi.CJwIxgIW.5HP6",
        ),
        (
            "open sesame",
            "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy",
        ),
        (
            "pässwörd",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VbkrrNItU.9NIb/IkEA2mwWrOjK5F3G",
        ),
        (
            "",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
        ),
        (
            "open sesame",
            "$5$saltstring$sOFRiuqOzKEQCZAIFmMrCbPuMEMUPOi/BmBpBwWMgW3",
        ),
        (
            "open sesame",
            "$5$rounds=1000$toolongsaltstrin$Zck3PGNrw7SqrHCPftFZPdDu6w56ctY6zv1BP/VVag/",
        ),
        (
            "open sesame",
            "$6$saltstring$b4SOQO.YI.BXjgbKQa.97c9EQud0NW8Txr5rCRGsAucjEsL95TW5MDF/7KcC3bcG5NoxZbmB6Lh82fxg8soAZ0",
        ),
        (
            "open sesame",
            "$6$rounds=12345$saltsalt$dzBkvrZOEKNqAfS.ViW8FqJDc4di/yBHhuSCDUKrV9krWOEzexSfpAKE4UKuVs7OfQLfI2W8GDknvxVb.hUxe0",
        ),
        (
            "pässwörd",
            "$6$s$6.Q1IjFDMXFFsfV/lNgBTvzU8UqKOoHrVC4vwAFCOOuDvnsgFNcjtsGUrdhqzvwc9T3/sYN/pjpd35T0s1ZKF0",
        ),
        (
            "",
            "$6$rounds=1000$saltsalt$VEHSITfYmhRDpD6t31S9LUhNne.FOx10qNSjfu2skYK5wKPYCkdF/995SUbfpqIy5BFbEit9G4aDmW4aq4oX9.",
        ),
    ];

    #[test]
    fn what_other_tools_have_made_is_verified() {
        for (password, text) in VECTORS {
            let hash = Hash::parse(text).expect(text);
            assert!(hash.verify(password.as_bytes()), "{text}");
            assert!(!hash.verify(b"open sesam"), "{text}");
            assert!(!hash.verify(b"open sesame "), "{text}");
        }
    }

    #[test]
    fn long_passwords_are_verified_too() {
        for (password, text) in [
            ("x".repeat(100), "$apr1$12345678$yiFoyfrrVNwrIepED8sjv0"),
            (
                "y".repeat(200),
                "$5$rounds=1000$x$sEWN7yjA6fmPQAL4VFspcFa0qd51zuGlhVPULMy9mj5",
            ),
            (
                "y".repeat(200),
                "$6$rounds=1000$x$l1qGc.DGp0FDBU.KBJXB/RL0//1DGubvUIqM2CGEd9tauRV1EpcdjhpwPBicEKimnq/sHYBZY97bd6M5CE2Fk/",
            ),
            (
                "y".repeat(72),
                "$2y$04$abcdefghijklmnopqrstuuwurWIdVVT4m5pTArtqnFNM69nySdHj.",
            ),
            (
                "y".repeat(100),
                "$2y$04$abcdefghijklmnopqrstuuwurWIdVVT4m5pTArtqnFNM69nySdHj.",
            ),
        ] {
            assert!(
                Hash::parse(text).unwrap().verify(password.as_bytes()),
                "{text}"
            );
            assert!(
                !Hash::parse(text)
                    .unwrap()
                    .verify(&password.as_bytes()[1..71]),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_hash_or_too_costly_is_refused_with_a_reason() {
        let bcrypt = |cost: &str| {
            format!("$2y${cost}$5V3K2Ye.v6kM6nMjKkC7xujmLZXbacK8TFSIeqi.CJwIxgIW.5HP6")
        };
        let sha = |rounds: &str| format!("$5$rounds={rounds}$s${}", "a".repeat(43));
        assert!(Hash::parse(&bcrypt("15")).is_ok());
        assert!(Hash::parse(&sha("1000000")).is_ok());
        for (text, reason) in [
            ("", "plain text"),
            ("secret", "plain text"),
            ("{PLAIN}secret", "plain text"),
            ("rqXexS6ZhobKA", "old crypt"),
            ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", "known"),
            ("$2x$04$a", "known"),
            ("{SHA}W8r/", "20 bytes"),
            ("{SHA}!", "20 bytes"),
            ("$apr1$saltsalt$HIDXe7D36X22w1CH4M1cQ", "cut off"),
            ("$apr1$saltsaltx$HIDXe7D36X22w1CH4M1cQ.", "cut off"),
            ("$apr1$saltsalt$HIDXe7D36X22w1CH4M1cQ!", "cut off"),
            ("$5$s", "cut off"),
            ("$6$s$abc", "cut off"),
            ("$2y$04$short", "53 digits"),
            ("$2y$4$", "53 digits"),
            (&bcrypt("03"), "expected 4 to 15"),
            (&bcrypt("16"), "expected 4 to 15"),
            (&bcrypt("+4"), "two digits"),
            (&sha("999"), "expected 1000 to"),
            (&sha("1000001"), "to 1000000"),
            (&sha("x"), "expected 1000 to"),
        ] {
            let error = Hash::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn comparing_looks_at_all_bytes() {
        for (a, b, same) in [
            ("", "", true),
            ("ab", "ab", true),
            ("ab", "ac", false),
            ("ab", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(is_same(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
        }
    }
}
