//! The chunked coding (RFC 9112 §7.1): [`Chunked`] takes a body apart as its bytes arrive, and the
//! rest writes one.
//!
//! It must not know connections, buffers or plugins: data goes to a sink, and what follows the body
//! is not touched.
//!
//! Invariant: however the input is split, the decoder gives the same data and the same verdict, and
//! it remembers at most 40 bytes for it.

use super::error::Error;
use super::fields::is_token;

/// Takes a chunked body apart as it arrives (RFC 9112 §7.1).
///
/// ```text
/// chunked-body = *chunk last-chunk trailer-section CRLF
/// chunk        = 1*HEXDIG [ chunk-ext ] CRLF chunk-data CRLF
/// last-chunk   = 1*("0") [ chunk-ext ] CRLF
/// ```
///
/// Trailer fields are checked and dropped. After an error the decoder must not be used again.
#[derive(Debug)]
pub struct Chunked {
    /// The size of the current chunk while its line is read, then what is left of its data.
    chunk_bytes_left: u64,
    /// What the chunks from the current one on may still hold.
    body_bytes_left: u64,
    /// What the trailer section may still take.
    trailer_bytes_left: usize,
    /// The bytes of the current size line so far, without its CRLF.
    line_bytes: u16,
    state: State,
}

// A connection that receives a body carries one.
const _: () = assert!(size_of::<Chunked>() <= 40);

/// What one call of [`Chunked::decode`] did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How much of the input belongs to the body: all of it, unless the body is done.
    pub consumed: usize,
    /// Whether the body is complete; what follows is the next request.
    pub is_done: bool,
}

/// What the next byte must be, in the order of the grammar.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Size,
    ExtensionSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

impl Chunked {
    /// A decoder at the start of a body whose chunks may hold `body_bytes_max` together, followed
    /// by trailer fields of at most `trailer_bytes_max` with their line ends.
    pub fn new(body_bytes_max: u64, trailer_bytes_max: usize) -> Self {
        Self {
            chunk_bytes_left: 0,
            body_bytes_left: body_bytes_max,
            trailer_bytes_left: trailer_bytes_max,
            line_bytes: 0,
            state: State::Size,
        }
    }

    /// Decodes what arrived and hands the data in it to `sink`, piece by piece (RFC 9112 §7.1.3).
    ///
    /// All of the input is consumed unless the body is done. A malformed byte is an error even if
    /// data came before it, which the sink has seen by then.
    pub fn decode(&mut self, input: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<Decoded, Error> {
        let mut rest = input;
        while let (&[byte, ref after @ ..], true) = (rest, self.state != State::Done) {
            if self.state == State::Data {
                // Where a chunk is larger than the address space it is larger than the input, too.
                let left = usize::try_from(self.chunk_bytes_left).unwrap_or(usize::MAX);
                let (data, after) = rest.split_at(left.min(rest.len()));
                sink(data);
                self.chunk_bytes_left -= data.len() as u64;
                if self.chunk_bytes_left == 0 {
                    self.state = State::DataCr;
                }
                rest = after;
            } else {
                self.state = self.step(byte)?;
                rest = after;
            }
        }
        Ok(Decoded {
            consumed: input.len() - rest.len(),
            is_done: self.state == State::Done,
        })
    }

    /// The state after one byte that is no data.
    fn step(&mut self, byte: u8) -> Result<State, Error> {
        match (self.state, byte) {
            (State::Size, _) => self.on_size(byte),
            (State::ExtensionSpace, b' ' | b'\t') => self.on_extension(State::ExtensionSpace),
            (State::ExtensionSpace, b';') => self.on_extension(State::Extension),
            (State::ExtensionSpace, _) => Err(Error::ChunkExtension),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            // A bare LF ends the line for some and not for others: an old way to smuggle.
            (State::Extension, b'\n') => Err(Error::ChunkLineEnd),
            (State::Extension, _) if is_text(byte) => self.on_extension(State::Extension),
            (State::Extension, _) => Err(Error::ChunkExtension),
            (State::SizeLf, b'\n') => self.on_size_end(),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::TrailerStart, _) if is_token(byte) => self.on_trailer(State::TrailerName),
            (State::TrailerName, _) if is_token(byte) => self.on_trailer(State::TrailerName),
            (State::TrailerName, b':') => self.on_trailer(State::TrailerValue),
            (State::TrailerValue, b'\r') => self.on_trailer(State::TrailerLf),
            (State::TrailerValue, _) if is_text(byte) => self.on_trailer(State::TrailerValue),
            (State::TrailerLf, b'\n') => self.on_trailer(State::TrailerStart),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::SizeLf | State::DataCr | State::DataLf | State::LastLf, _) => {
                Err(Error::ChunkLineEnd)
            }
            (
                State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf,
                _,
            ) => Err(Error::TrailerInvalid),
            (State::Data | State::Done, _) => unreachable!("decode handles data and the end"),
        }
    }

    fn on_size(&mut self, byte: u8) -> Result<State, Error> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            // Sixteen digits fill 64 bits, so this is also the check for overflow.
            if self.line_bytes == CHUNK_DIGITS_MAX {
                return Err(Error::ChunkSize);
            }
            self.line_bytes += 1;
            self.chunk_bytes_left = self.chunk_bytes_left << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            _ if self.line_bytes == 0 => Err(Error::ChunkSize),
            b'\r' => Ok(State::SizeLf),
            b'\n' => Err(Error::ChunkLineEnd),
            b';' => self.on_extension(State::Extension),
            b' ' | b'\t' => self.on_extension(State::ExtensionSpace),
            _ => Err(Error::ChunkSize),
        }
    }

    /// Counts a byte of an extension, which is otherwise ignored (RFC 9112 §7.1.1).
    fn on_extension(&mut self, next: State) -> Result<State, Error> {
        self.line_bytes += 1;
        if self.line_bytes > CHUNK_LINE_BYTES_MAX {
            return Err(Error::ChunkExtension);
        }
        Ok(next)
    }

    /// The promise of a chunk is held against the bound before any of its data is taken.
    fn on_size_end(&mut self) -> Result<State, Error> {
        self.line_bytes = 0;
        if self.chunk_bytes_left == 0 {
            return Ok(State::TrailerStart);
        }
        self.body_bytes_left = self
            .body_bytes_left
            .checked_sub(self.chunk_bytes_left)
            .ok_or(Error::BodyTooLarge)?;
        Ok(State::Data)
    }

    /// Counts a byte of the trailer section (RFC 9112 §7.1.2).
    fn on_trailer(&mut self, next: State) -> Result<State, Error> {
        self.trailer_bytes_left = self
            .trailer_bytes_left
            .checked_sub(1)
            .ok_or(Error::TrailerTooLarge)?;
        Ok(next)
    }
}

/// `field-content` and what may stand in a chunk extension: no control byte but HTAB
/// (RFC 9110 §5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// The digits of the largest chunk size; more are refused even if they are zeros.
const CHUNK_DIGITS_MAX: u16 = 16;

/// A size line with its extensions. No client is known to send any, and a long one only costs us
/// time.
const CHUNK_LINE_BYTES_MAX: u16 = 256;

/// Appends the size line of a chunk of `len` bytes, which the data and [`CHUNK_END`] must follow
/// (RFC 9112 §7.1).
///
/// # Panics
///
/// If `len` is 0: that line would end the body.
pub fn encode_chunk_head(len: usize, out: &mut Vec<u8>) {
    assert!(len > 0, "a chunk without data is the last one");
    let digit_count = (usize::BITS - len.leading_zeros()).div_ceil(4);
    out.extend(
        (0..digit_count)
            .rev()
            .map(|place| b"0123456789abcdef"[len >> (4 * place) & 15]),
    );
    out.extend_from_slice(b"\r\n");
}

/// What follows the data of each chunk (RFC 9112 §7.1).
pub const CHUNK_END: &[u8] = b"\r\n";

/// What ends a chunked body that has no trailer fields (RFC 9112 §7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data and what follows the body; `None` when the body is not complete.
    type Body = Option<(Vec<u8>, Vec<u8>)>;

    /// Decodes in pieces that end at the given places.
    fn decode(
        input: &[u8],
        cuts: &[usize],
        body_max: u64,
        trailer_max: usize,
    ) -> Result<Body, Error> {
        let mut decoder = Chunked::new(body_max, trailer_max);
        let mut data = Vec::new();
        let mut start = 0;
        for end in cuts.iter().copied().chain([input.len()]) {
            let piece = &input[start..end];
            let decoded = decoder.decode(piece, &mut |bytes| data.extend_from_slice(bytes))?;
            start += decoded.consumed;
            if decoded.is_done {
                let again = decoder.decode(b"x", &mut |_| panic!("data after the end"));
                assert_eq!(
                    again,
                    Ok(Decoded {
                        consumed: 0,
                        is_done: true
                    })
                );
                return Ok(Some((data, input[start..].to_vec())));
            }
            assert_eq!(decoded.consumed, piece.len());
        }
        Ok(None)
    }

    /// Decodes whole, cut in two at every place, and byte by byte; all must agree.
    fn decode_every_way(input: &[u8], body_max: u64, trailer_max: usize) -> Result<Body, Error> {
        let whole = decode(input, &[], body_max, trailer_max);
        for cut in 0..=input.len() {
            assert_eq!(
                decode(input, &[cut], body_max, trailer_max),
                whole,
                "cut at {cut}"
            );
        }
        let every: Vec<usize> = (0..input.len()).collect();
        assert_eq!(decode(input, &every, body_max, trailer_max), whole);
        whole
    }

    #[test]
    fn bodies_are_taken_apart() {
        for (input, data, rest) in [
            ("0\r\n\r\n", "", ""),
            ("0\r\n\r\nGET /", "", "GET /"),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
            ("1\r\n\r\r\n001\r\n\n\r\n000\r\n\r\n\r\n", "\r\n", "\r\n"),
            (
                "a;x=\"y;z\"\r\n0123456789\r\n0;last\r\n\r\n",
                "0123456789",
                "",
            ),
            (
                "A \t ; x\r\n0123456789\r\n0000000000000000\r\n\r\n",
                "0123456789",
                "",
            ),
            ("0\r\nA:b\r\nC-d:  e f\t\r\nE:\r\n\r\nx", "", "x"),
            ("0\r\nContent-Length: 5\r\n\r\n12345", "", "12345"),
        ] {
            let expected = Some((data.as_bytes().to_vec(), rest.as_bytes().to_vec()));
            assert_eq!(
                decode_every_way(input.as_bytes(), 10, 40),
                Ok(expected),
                "{input:?}"
            );
        }
    }

    #[test]
    fn malformed_bodies_are_refused() {
        let cases: &[(&str, Error)] = &[
            ("\r\n", Error::ChunkSize),
            ("\n", Error::ChunkSize),
            (" 5\r\n", Error::ChunkSize),
            ("-1\r\n", Error::ChunkSize),
            ("+1\r\n", Error::ChunkSize),
            ("0x1\r\n", Error::ChunkSize),
            ("1_\r\n", Error::ChunkSize),
            (";a\r\n", Error::ChunkSize),
            ("00000000000000000\r\n", Error::ChunkSize),
            ("10000000000000000\r\n", Error::ChunkSize),
            ("ffffffffffffffff\r\n", Error::BodyTooLarge),
            ("b\r\n", Error::BodyTooLarge),
            ("9\r\n012345678\r\n2\r\n", Error::BodyTooLarge),
            ("5\n", Error::ChunkLineEnd),
            ("5\rx", Error::ChunkLineEnd),
            ("5\r\r\n", Error::ChunkLineEnd),
            ("5;a\n", Error::ChunkLineEnd),
            ("5;a\rb", Error::ChunkLineEnd),
            ("5;\0\r\n", Error::ChunkExtension),
            ("5;\x7f\r\n", Error::ChunkExtension),
            ("5 \r\n", Error::ChunkExtension),
            ("5 a\r\n", Error::ChunkExtension),
            ("1\r\nab", Error::ChunkLineEnd),
            ("1\r\na\n", Error::ChunkLineEnd),
            ("1\r\na\rb", Error::ChunkLineEnd),
            ("0\r\n\n", Error::TrailerInvalid),
            ("0\r\n\rx", Error::ChunkLineEnd),
            ("0\r\n a:b\r\n", Error::TrailerInvalid),
            ("0\r\n:b\r\n", Error::TrailerInvalid),
            ("0\r\na :b\r\n", Error::TrailerInvalid),
            ("0\r\na\r\n", Error::TrailerInvalid),
            ("0\r\na:b\r\n c\r\n", Error::TrailerInvalid),
            ("0\r\na:b\n", Error::TrailerInvalid),
            ("0\r\na:b\rc", Error::TrailerInvalid),
            ("0\r\na:\0\r\n", Error::TrailerInvalid),
            ("0\r\na(:b\r\n", Error::TrailerInvalid),
            ("0\r\n\u{e9}:b\r\n", Error::TrailerInvalid),
            ("0\r\nabcdefgh:0123456789\r\n", Error::TrailerTooLarge),
        ];
        for (input, error) in cases {
            assert_eq!(
                decode_every_way(input.as_bytes(), 10, 20),
                Err(*error),
                "{input:?}"
            );
        }
    }

    #[test]
    fn bounds_are_exact() {
        let at_bound = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(254));
        assert!(
            decode_every_way(at_bound.as_bytes(), 1, 0)
                .unwrap()
                .is_some()
        );
        let over = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(255));
        assert_eq!(
            decode_every_way(over.as_bytes(), 1, 0),
            Err(Error::ChunkExtension)
        );
        assert!(
            decode_every_way(b"0\r\na:b\r\n\r\n", 0, 5)
                .unwrap()
                .is_some()
        );
        assert_eq!(
            decode_every_way(b"0\r\na:b\r\n\r\n", 0, 4),
            Err(Error::TrailerTooLarge)
        );
        assert_eq!(
            decode_every_way(b"ffffffffffffffff\r\nabc", u64::MAX, 0),
            Ok(None)
        );
    }

    #[test]
    fn chunk_heads_are_shortest_hexadecimal() {
        for (len, line) in [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (0xabcd, "abcd\r\n"),
        ] {
            let mut out = Vec::new();
            encode_chunk_head(len, &mut out);
            assert_eq!(out, line.as_bytes());
        }
        let mut out = Vec::new();
        encode_chunk_head(usize::MAX, &mut out);
        assert_eq!(out, format!("{:x}\r\n", usize::MAX).as_bytes());
    }

    proptest! {
        #[test]
        fn any_split_of_what_is_encoded_decodes_to_the_same(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                encode_chunk_head(chunk.len(), &mut input);
                input.extend_from_slice(chunk);
                input.extend_from_slice(CHUNK_END);
            }
            input.extend_from_slice(LAST_CHUNK);
            let body_bytes = input.len();
            input.extend_from_slice(b"rest");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body_bytes)).collect();
            cuts.sort_unstable();
            let data = chunks.concat();
            let expected = Some((data.clone(), b"rest".to_vec()));
            prop_assert_eq!(decode(&input, &cuts, data.len() as u64, 0), Ok(expected));
            if let Some(less) = (data.len() as u64).checked_sub(1) {
                prop_assert_eq!(decode(&input, &cuts, less, 0), Err(Error::BodyTooLarge));
            }
            prop_assert_eq!(decode(&input[..body_bytes - 1], &[], u64::MAX, 0), Ok(None));
        }

        #[test]
        fn any_bytes_give_the_same_verdict_however_split(
            input in "[0-3aA;:=\r\n \t\0-]{0,24}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let input = input.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
            cuts.sort_unstable();
            // Cuts behind the end of the body are skipped by cutting only what precedes it.
            let whole = decode(input, &[], 20, 20);
            if let Ok(Some((_, rest))) = &whole {
                cuts.retain(|&cut| cut <= input.len() - rest.len());
            }
            prop_assert_eq!(decode(input, &cuts, 20, 20), whole);
        }
    }
}
