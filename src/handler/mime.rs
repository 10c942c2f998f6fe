//! File suffix to media type.
//!
//! One sorted table, fixed at compile time: a server that reads `/etc/mime.types` answers
//! differently on every box. Types are those of the IANA registry where there is one.
//!
//! It must not know files: it sees a name and never the content, for guessing a type from content
//! is how an upload becomes a script.
//!
//! Invariant: the table is sorted, unique and lowercase, which a test holds and the search needs.

use crate::http::MediaType;
use std::sync::Arc;

/// The types of a site: those that the operator has added, over the built-in ones.
#[derive(Debug, Default)]
pub struct Types {
    /// Suffixes with their dot, in lower case, the longest first; and their types.
    own: Vec<(Box<[u8]>, Arc<str>)>,
}

impl Types {
    /// The types with these additions: suffixes without the dot, and their types. A suffix may have a
    /// dot of its own, `tar.gz`; of two that fit a name the longer one counts, of two equal ones the
    /// last.
    #[must_use]
    pub fn new(additions: &[(String, String)]) -> Self {
        let own = additions.iter().rev().map(|(suffix, media_type)| {
            let suffix = format!(".{}", suffix.to_ascii_lowercase());
            (suffix.into_bytes().into(), media_type.as_str().into())
        });
        let mut own: Vec<(Box<[u8]>, Arc<str>)> = own.collect();
        own.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        Self { own }
    }

    /// The media type of a file by its path.
    #[must_use]
    pub fn of(&self, path: &[u8]) -> MediaType {
        let own = self.own.iter().find(|(suffix, _)| {
            let start = path.len().checked_sub(suffix.len());
            start.is_some_and(|start| path[start..].eq_ignore_ascii_case(suffix))
        });
        match own {
            Some((_, media_type)) => MediaType::Own(Arc::clone(media_type)),
            None => MediaType::Known(of(path)),
        }
    }
}

/// The built-in media type for a path by the last suffix of its last segment, in any case
/// (RFC 9110 §8.3).
///
/// What is unknown is `application/octet-stream`, which browsers save and do not interpret.
pub fn of(path: &[u8]) -> &'static &'static str {
    suffix(path).and_then(look_up).unwrap_or(&UNKNOWN)
}

/// What says nothing about its content.
static UNKNOWN: &str = "application/octet-stream";

/// Whether files of this type shrink when they are compressed, so that precompressed siblings are
/// looked for and responses vary by Accept-Encoding. Pictures, sound, video, archives and WOFF
/// are compressed already; what is unknown is left alone.
pub fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || essence.ends_with("+json")
        || COMPRESSIBLE.contains(&essence)
}

/// The compressible types that their names do not give away.
const COMPRESSIBLE: [&str; 12] = [
    "application/javascript",
    "application/json",
    "application/pdf",
    "application/rtf",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
];

/// What follows the last dot of the last segment. Only as many bytes are looked at as a known
/// suffix can have.
fn suffix(path: &[u8]) -> Option<&[u8]> {
    let tail = &path[path.len().saturating_sub(SUFFIX_BYTES_MAX + 1)..];
    let at = tail
        .iter()
        .rposition(|&byte| byte == b'.' || byte == b'/')?;
    (tail[at] == b'.').then_some(&tail[at + 1..])
}

fn look_up(suffix: &[u8]) -> Option<&'static &'static str> {
    let mut buffer = [0; SUFFIX_BYTES_MAX];
    let lowercase = buffer.get_mut(..suffix.len())?;
    lowercase.copy_from_slice(suffix);
    lowercase.make_ascii_lowercase();
    // Byte by byte: for a few bytes a call of memcmp costs more than the comparison.
    let index = TYPES
        .binary_search_by(|(known, _)| known.bytes().cmp(lowercase.iter().copied()))
        .ok()?;
    Some(&TYPES[index].1)
}

/// The longest suffix of the table.
const SUFFIX_BYTES_MAX: usize = 11;

/// Text is UTF-8 today, and says so: without a charset browsers guess (RFC 9110 §8.3.2). JSON and
/// its kin have no such parameter (RFC 8259 §11); XML carries its own declaration (RFC 7303 §3).
static TYPES: &[(&str, &str)] = &[
    ("3g2", "video/3gpp2"),
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("asc", "application/pgp-signature"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("br", "application/octet-stream"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("cer", "application/pkix-cert"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("crl", "application/pkix-crl"),
    ("crt", "application/x-x509-ca-cert"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("deb", "application/vnd.debian.binary-package"),
    ("diff", "text/x-diff; charset=utf-8"),
    ("dll", "application/vnd.microsoft.portable-executable"),
    ("dmg", "application/x-apple-diskimage"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("exe", "application/vnd.microsoft.portable-executable"),
    ("flac", "audio/flac"),
    ("flv", "video/x-flv"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("gpx", "application/gpx+xml"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("img", "application/octet-stream"),
    ("ini", "text/plain; charset=utf-8"),
    ("ipk", "application/octet-stream"),
    ("iso", "application/x-iso9660-image"),
    ("jar", "application/java-archive"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("log", "text/plain; charset=utf-8"),
    ("m2ts", "video/mp2t"),
    ("m3u", "audio/mpegurl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("markdown", "text/markdown; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mkv", "video/matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("ogx", "application/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("patch", "text/x-diff; charset=utf-8"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-pem-file"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("ps", "application/postscript"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("py", "text/x-python; charset=utf-8"),
    ("rar", "application/vnd.rar"),
    ("rdf", "application/rdf+xml"),
    ("rpm", "application/x-rpm"),
    ("rs", "text/plain; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("rst", "text/x-rst; charset=utf-8"),
    ("rtf", "application/rtf"),
    ("sh", "text/x-sh; charset=utf-8"),
    ("shtml", "text/html; charset=utf-8"),
    ("sig", "application/pgp-signature"),
    ("sql", "application/sql"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("torrent", "application/x-bittorrent"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("ttl", "text/turtle; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("vcf", "text/vcard; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("wmv", "video/x-ms-wmv"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "application/xml"),
    ("xsl", "application/xslt+xml"),
    ("xslt", "application/xslt+xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table_is_sorted_unique_and_lowercase() {
        assert!(TYPES.is_sorted_by(|a, b| a.0 < b.0));
        for (suffix, media_type) in TYPES {
            assert!(
                suffix
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
                "{suffix}"
            );
            assert!(!suffix.is_empty());
            let (essence, parameter) = media_type.split_once(';').unwrap_or((media_type, ""));
            assert_eq!(essence.split('/').count(), 2, "{media_type}");
            assert_eq!(essence, essence.to_ascii_lowercase());
            let is_text = essence.starts_with("text/");
            assert_eq!(
                parameter,
                if is_text { " charset=utf-8" } else { "" },
                "{media_type}"
            );
        }
        let longest = TYPES.iter().map(|(suffix, _)| suffix.len()).max();
        assert_eq!(longest, Some(SUFFIX_BYTES_MAX));
    }

    #[test]
    fn every_suffix_is_found() {
        for (suffix, media_type) in TYPES {
            for path in [
                format!("/a.b/c.{suffix}"),
                format!("/{}", format!("X.{suffix}").to_uppercase()),
            ] {
                assert_eq!(*of(path.as_bytes()), *media_type, "{path}");
            }
        }
    }

    #[test]
    fn the_last_suffix_of_the_last_segment_counts() {
        for (path, expected) in [
            ("/index.html", "text/html; charset=utf-8"),
            ("/a.tar.gz", "application/gzip"),
            ("/app.min.js", "text/javascript; charset=utf-8"),
            ("/style.CSS", "text/css; charset=utf-8"),
            ("/a.json", "application/json"),
            ("/video.ts", "video/mp2t"),
            ("/.html", "text/html; charset=utf-8"),
            ("/site.webmanifest", "application/manifest+json"),
            ("webmanifest", OCTETS),
            ("", OCTETS),
            ("/", OCTETS),
            ("/a.html/", OCTETS),
            ("/a.html/b", OCTETS),
            ("/a.", OCTETS),
            ("/a.html.", OCTETS),
            ("/a.html~", OCTETS),
            ("/html", OCTETS),
            ("/a.unknown", OCTETS),
            ("/a.webmanifestx", OCTETS),
            ("/a.webmanifestwebmanifest", OCTETS),
        ] {
            assert_eq!(*of(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(*of(b"/\xff.\xff"), OCTETS);
    }

    #[test]
    fn additions_go_over_the_table() {
        let types = Types::new(&[
            ("html".into(), "text/html; charset=iso-8859-1".into()),
            ("gz".into(), "a/gz".into()),
            ("tar.gz".into(), "a/tar".into()),
            ("a-long-suffix-of-mine".into(), "a/first".into()),
            ("a-long-suffix-of-mine".into(), "a/long".into()),
        ]);
        for (path, expected) in [
            ("/x.html", "text/html; charset=iso-8859-1"),
            ("/X.HTML", "text/html; charset=iso-8859-1"),
            ("/x.htm", "text/html; charset=utf-8"),
            ("/x.gz", "a/gz"),
            ("/x.tar.gz", "a/tar"),
            ("/tar.gz", "a/gz"),
            ("/.gz", "a/gz"),
            ("/gz", OCTETS),
            ("/x.a-long-suffix-of-mine", "a/long"),
            ("/x.css", "text/css; charset=utf-8"),
            ("", OCTETS),
        ] {
            assert_eq!(&*types.of(path.as_bytes()), expected, "{path}");
        }
    }

    const OCTETS: &str = "application/octet-stream";

    /// The naive search: from the front, through the whole table.
    fn of_naively(path: &[u8]) -> &'static str {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap();
        let mut pieces = name.rsplitn(2, |&byte| byte == b'.');
        let suffix = pieces.next().unwrap().to_ascii_lowercase();
        if pieces.next().is_none() {
            return OCTETS;
        }
        let found = TYPES.iter().find(|(known, _)| known.as_bytes() == suffix);
        found.map_or(OCTETS, |(_, media_type)| media_type)
    }

    proptest! {
        #[test]
        fn agrees_with_a_linear_search(
            front in "[a./]{0,12}",
            index in any::<prop::sample::Index>(),
            back in "[.a/]{0,2}",
        ) {
            let path = format!("{front}.{}{back}", TYPES[index.index(TYPES.len())].0);
            prop_assert_eq!(*of(path.as_bytes()), of_naively(path.as_bytes()));
        }

        #[test]
        fn any_bytes_have_a_type(path in prop::collection::vec(any::<u8>(), 0..32)) {
            prop_assert_eq!(*of(&path), of_naively(&path));
        }
    }
}
