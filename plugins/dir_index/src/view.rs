//! What of a directory is asked for, and the making of its list: read, sorted, rendered. All of it
//! runs on the helper thread, for which others wait as well; therefore it is cut into slices, after
//! each of which they have their turn.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::directory::{Listing, Place, Reader};
use crate::order::Order;
use crate::settings::Settings;
use crate::{html, json};

/// How long a job goes on. One entry's `stat` on a slow disk takes about as long. Sorting, and
/// rendering, are not cut: of 50,000 entries they take longer than this.
const SLICE: Duration = Duration::from_millis(20);

/// What of a directory is asked for.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) settings: Arc<Settings>,
    /// Of the URL, decoded; begins and ends with a slash.
    pub(crate) path: Vec<u8>,
    pub(crate) order: Order,
    pub(crate) is_json: bool,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Work {
    Open(Place),
    Read(Reader),
    Sort(Listing),
    Render(Listing),
}

/// What has come of a slice.
#[derive(Debug)]
pub(crate) enum Step {
    More(View, Work),
    Page(View, String),
    Failed(io::Error),
}

impl View {
    /// The names in the path.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let segments = self.path.split(|&byte| byte == b'/');
        segments.filter(|segment| !segment.is_empty())
    }

    /// Works until the slice is over or the page is made.
    pub(crate) fn advance(self, mut work: Work) -> Step {
        let until = Instant::now() + SLICE;
        loop {
            let next = match work {
                Work::Open(place) => {
                    Reader::open(&place, Arc::clone(&self.settings)).map(Work::Read)
                }
                Work::Read(reader) => reader.read(until).map(|read| match read {
                    Ok(listing) => Work::Sort(listing),
                    Err(reader) => Work::Read(reader),
                }),
                Work::Sort(mut listing) => {
                    self.order.sort(&mut listing.entries);
                    Ok(Work::Render(listing))
                }
                Work::Render(listing) => {
                    let page = self.render(&listing);
                    return Step::Page(self, page);
                }
            };
            match next {
                Ok(next) if Instant::now() >= until => return Step::More(self, next),
                Ok(next) => work = next,
                Err(error) => return Step::Failed(error),
            }
        }
    }

    fn render(&self, listing: &Listing) -> String {
        if self.is_json {
            json::object(self, listing)
        } else {
            html::page(self, listing)
        }
    }
}
