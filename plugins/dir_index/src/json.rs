//! The listing for programs: one object.
//!
//! ```json
//! {"path":"/music/","truncated":false,"entries":[
//! {"name":"a b","type":"directory","size":null,"modified":"2026-11-22T14:03:05Z","url":"a%20b/"},
//! {"name":"c","type":"file","size":1536,"modified":"2026-11-22T14:03:05Z","url":"c"}]}
//! ```
//!
//! `url` is relative to the URL of the directory and keeps the exact bytes of the name; in `name`
//! and `path` whatever is not UTF-8 is U+FFFD.

use std::fmt::Write;

use crate::date::Date;
use crate::directory::{Entry, Kind, Listing};
use crate::escape;
use crate::view::View;

/// About what an entry takes, bytes.
const ENTRY_BYTES: usize = 130;

/// The whole object.
pub(crate) fn object(view: &View, listing: &Listing) -> String {
    let mut object = String::with_capacity(256 + listing.entries.len() * ENTRY_BYTES);
    object.push_str("{\"path\":");
    escape::json(&view.path, &mut object);
    let _ = write!(object, ",\"truncated\":{},\"entries\":[", listing.is_cut);
    for (at, entry) in listing.entries.iter().enumerate() {
        object.push_str(if at == 0 { "\n" } else { ",\n" });
        push(entry, &mut object);
    }
    object.push_str("]}\n");
    object
}

fn push(entry: &Entry, object: &mut String) {
    object.push_str("{\"name\":");
    escape::json(&entry.name, object);
    let slash = match entry.kind {
        Kind::Directory => {
            object.push_str(",\"type\":\"directory\",\"size\":null");
            "/"
        }
        Kind::File => {
            let _ = write!(object, ",\"type\":\"file\",\"size\":{}", entry.bytes);
            ""
        }
    };
    let modified = Date::of_unix(entry.modified);
    let _ = write!(object, ",\"modified\":\"{modified}\",\"url\":\"");
    escape::url(&entry.name, object);
    object.push_str(slash);
    object.push_str("\"}");
}
