//! The page: HTML5 with its style inside, no script, nothing fetched.
//!
//! All links are relative, so that the page also works behind a proxy that takes a prefix away.
//! Names go through [`escape`] and nothing else of the request reaches the page but the order.

use std::fmt::Write;

use crate::date::Date;
use crate::directory::{Entry, Kind, Listing};
use crate::escape;
use crate::order::{Key, Order};
use crate::size::{human, thousands};
use crate::view::View;

/// About what a page without rows takes, bytes; and what a row does.
const PAGE_BYTES: usize = 8 << 10;
const ROW_BYTES: usize = 200;

/// The whole page.
pub(crate) fn page(view: &View, listing: &Listing) -> String {
    let mut page = String::with_capacity(PAGE_BYTES + listing.entries.len() * ROW_BYTES);
    head(view, &mut page);
    header(view, listing, &mut page);
    page.push_str("<main>\n<div class=\"card\">\n");
    let is_root = view.segments().next().is_none();
    if !(is_root && listing.entries.is_empty()) {
        table(view, listing, is_root, &mut page);
    }
    if listing.entries.is_empty() {
        page.push_str("<p class=\"empty\">This directory is empty.</p>\n");
    }
    page.push_str("</div>\n</main>\n</body>\n</html>\n");
    page
}

fn head(view: &View, page: &mut String) {
    page.push_str(concat!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<title>"
    ));
    escape::html(&escape::visible(&view.path), page);
    page.push_str(" – ");
    text(&view.settings.title, page);
    page.push_str("</title>\n<style>\n");
    page.push_str(include_str!("style.css"));
    page.push_str("</style>\n</head>\n<body>\n");
}

/// Where one is, the way up, and what is here.
fn header(view: &View, listing: &Listing, page: &mut String) {
    let mut names: Vec<&[u8]> = vec![view.settings.title.as_bytes()];
    names.extend(view.segments());
    page.push_str("<header>\n");
    let current = names.pop().unwrap_or_default();
    if !names.is_empty() {
        page.push_str("<nav aria-label=\"Parent directories\"><ol>");
        for (at, name) in names.iter().enumerate() {
            page.push_str("<li><a href=\"");
            page.push_str(&"../".repeat(names.len() - at));
            page.push_str("\"><bdi>");
            escape::html(&escape::visible(name), page);
            page.push_str("</bdi></a></li>");
        }
        page.push_str("</ol></nav>\n");
    }
    page.push_str("<h1><bdi>");
    escape::html(&escape::visible(current), page);
    page.push_str("</bdi></h1>\n");
    if !listing.entries.is_empty() {
        page.push_str("<p>");
        summary(listing, page);
        page.push_str("</p>\n");
    }
    if listing.is_cut {
        let _ = writeln!(
            page,
            "<p class=\"cut\" role=\"note\">This list is cut: the directory has more than the {} \
             entries that were read.</p>",
            thousands(view.settings.entries_max as u64)
        );
    }
    page.push_str("</header>\n");
}

/// Counts of what there is, and how much it is.
fn summary(listing: &Listing, page: &mut String) {
    let files = || {
        listing
            .entries
            .iter()
            .filter(|entry| entry.kind == Kind::File)
    };
    let file_count = files().count();
    let directory_count = listing.entries.len() - file_count;
    match directory_count {
        0 => {}
        1 => page.push_str("1 directory"),
        _ => {
            let _ = write!(page, "{} directories", thousands(directory_count as u64));
        }
    }
    if file_count == 0 {
        return;
    }
    let comma = if directory_count > 0 { ", " } else { "" };
    let plural = if file_count > 1 { "s" } else { "" };
    let bytes = files().fold(0u64, |sum, file| sum.saturating_add(file.bytes));
    let file_count = thousands(file_count as u64);
    let _ = write!(page, "{comma}{file_count} file{plural}, <span");
    size(bytes, page);
    page.push_str("</span>");
}

/// The end of a start tag with the exact size as its title, and the size for people.
fn size(bytes: u64, page: &mut String) {
    let plural = if bytes == 1 { "" } else { "s" };
    let (exact, short) = (thousands(bytes), human(bytes));
    let _ = write!(page, " title=\"{exact} byte{plural}\">{short}");
}

fn table(view: &View, listing: &Listing, is_root: bool, page: &mut String) {
    page.push_str("<table>\n<thead><tr>");
    column(view.order, Key::Name, "Name", page);
    column(view.order, Key::Size, "Size", page);
    column(view.order, Key::Date, "Modified<i> (UTC)</i>", page);
    page.push_str("</tr></thead>\n<tbody>\n");
    if !is_root {
        page.push_str(
            "<tr class=\"up\"><td><a href=\"../\">Parent directory</a></td><td></td><td></td></tr>\n",
        );
    }
    for entry in &listing.entries {
        row(entry, page);
    }
    page.push_str("</tbody>\n</table>\n");
}

/// A head that orders by its column; once more turns the order round. The largest and the newest
/// are what one looks for first.
fn column(order: Order, key: Key, label: &str, page: &mut String) {
    let (name, is_descending_first) = match key {
        Key::Name => ("name", false),
        Key::Size => ("size", true),
        Key::Date => ("date", true),
    };
    let is_current = order.key == key;
    let is_descending = if is_current {
        !order.is_descending
    } else {
        is_descending_first
    };
    page.push_str("<th scope=\"col\"");
    if is_current {
        let sorted = if order.is_descending {
            "descending"
        } else {
            "ascending"
        };
        let _ = write!(page, " aria-sort=\"{sorted}\"");
    }
    let direction = if is_descending { "desc" } else { "asc" };
    let _ = write!(
        page,
        "><a href=\"?sort={name}&amp;order={direction}\" rel=\"nofollow\">{label}</a></th>"
    );
}

fn row(entry: &Entry, page: &mut String) {
    let slash = if entry.kind == Kind::Directory {
        "/"
    } else {
        ""
    };
    page.push_str(if slash.is_empty() {
        "<tr><td>"
    } else {
        "<tr class=\"d\"><td>"
    });
    let can_be_requested = escape::can_be_requested(&entry.name);
    if can_be_requested {
        page.push_str("<a href=\"");
        escape::url(&entry.name, page);
        page.push_str(slash);
        page.push_str("\"><bdi>");
    } else {
        page.push_str("<span class=\"off\" title=\"No URL can name this\"><bdi>");
    }
    escape::html(&escape::visible(&entry.name), page);
    page.push_str(slash);
    page.push_str(if can_be_requested {
        "</bdi></a></td>"
    } else {
        "</bdi></span></td>"
    });
    match entry.kind {
        Kind::Directory => page.push_str("<td>–</td>"),
        Kind::File => {
            page.push_str("<td");
            size(entry.bytes, page);
            page.push_str("</td>");
        }
    }
    let date = Date::of_unix(entry.modified);
    let (day, minute) = (date.day(), date.minute());
    let _ = writeln!(
        page,
        "<td><time datetime=\"{date}\">{day} {minute}</time></td></tr>"
    );
}

fn text(text: &str, page: &mut String) {
    escape::html(&escape::visible(text.as_bytes()), page);
}
