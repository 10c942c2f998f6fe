//! What each client has: connections, and requests of a token bucket.
//!
//! A client is an IPv4 address or an IPv6 network of 64 bits, which is what one customer gets. Both
//! are counted in one bounded table; a connection knows its client's entry by a number, so that
//! a request costs no look-up unless a proxy tells another client. Without bounds nothing is counted
//! and no memory is held.
//!
//! It must not know sockets. INVARIANT: the connections of all entries are as many as there are
//! numbers in `seats`, so whatever takes a place gives it back when its slot is left.

mod bucket;
mod complaints;
mod table;

use crate::config;
use crate::conn::{Gate, Id};
use bucket::Bucket;
pub use complaints::Refusals;
use complaints::{Complaints, What};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use table::Table;

/// A client: the first 64 bits of an IPv6 address, or an IPv4 address as the part of them that
/// `::/16` has for it, which is nobody's (RFC 4291 §2.4).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Key(u64);

/// What is before an IPv4 address in a key.
const IPV4: u64 = 0xffff << 32;

impl Key {
    fn of(client: IpAddr) -> Self {
        match client.to_canonical() {
            IpAddr::V4(address) => Self(IPV4 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >> 32 == IPV4 >> 32 {
            Ipv4Addr::from_bits(self.0 as u32).fmt(f)
        } else {
            write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(self.0) << 64))
        }
    }
}

/// A client's entry, held for one connection.
#[derive(Debug)]
#[must_use = "a place is given a seat, or given back"]
pub struct Place(u32);

/// A slot whose connection is not counted.
const NO_SEAT: u32 = u32::MAX;

/// All clients.
#[derive(Debug, Default)]
pub struct Clients {
    connections_max: Option<u32>,
    bucket: Option<Bucket>,
    /// There is none without bounds.
    table: Option<Table>,
    /// For each slot the entry of its client.
    seats: Vec<u32>,
    complaints: Complaints,
}

impl Clients {
    /// Whether there are bounds, so that connections are to be counted.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.table.is_some()
    }

    /// Other bounds hold from now on; what is known of clients is kept. When there were none before,
    /// those that are connected are not known.
    pub fn set_bounds(&mut self, bounds: &config::Clients, now: u64) {
        let bucket = bounds
            .requests_per_second
            .map(|rate| Bucket::new(rate, bounds.burst));
        let before = std::mem::replace(&mut self.bucket, bucket);
        self.connections_max = bounds.connections_max;
        if !bounds.is_limited() {
            self.table = None;
            self.seats = Vec::new();
            return;
        }
        let now_ns = bucket::nanos(now);
        let entries_max = bounds.table_entries_max;
        let table = self.table.get_or_insert_with(|| Table::new(entries_max));
        if table.entries_max() != entries_max {
            let (resized, names) = table.resized(entries_max, now_ns);
            *table = resized;
            let held = self.seats.iter_mut().filter(|seat| **seat != NO_SEAT);
            for seat in held {
                *seat = names[*seat as usize];
            }
        }
        if let (Some(before), Some(bucket)) = (before, self.bucket) {
            for entry in table.all_mut() {
                entry.full_at = bucket.translated(entry.full_at, before, now_ns);
            }
        }
    }

    /// Whether a client may have one connection more, as far as is known now.
    pub fn has_room(&mut self, client: IpAddr, now: u64) -> bool {
        let (Some(table), Some(most)) = (&mut self.table, self.connections_max) else {
            return true;
        };
        let index = table.find_or_add(Key::of(client), bucket::nanos(now));
        table.entry(index).connections < most
    }

    /// A client wants one connection more; `None` if it has too many. One that is exempt has never
    /// too many, but is counted.
    pub fn take_place(&mut self, client: IpAddr, is_exempt: bool, now: u64) -> Option<Place> {
        let table = self.table.as_mut()?;
        let key = Key::of(client);
        let index = table.find_or_add(key, bucket::nanos(now));
        let has_too_many = self
            .connections_max
            .is_some_and(|most| table.entry(index).connections >= most);
        if has_too_many && !is_exempt {
            self.complaints.note(What::Connections, Some(key));
            return None;
        }
        table.hold(index);
        Some(Place(index))
    }

    /// A connection has a slot now.
    pub fn seat(&mut self, slot: u32, place: Place) {
        let slot = slot as usize;
        if self.seats.len() <= slot {
            self.seats.resize(slot + 1, NO_SEAT);
        }
        debug_assert_eq!(self.seats[slot], NO_SEAT, "a slot has one connection");
        self.seats[slot] = place.0;
    }

    /// A place that nobody takes.
    pub fn give_back(&mut self, place: Option<Place>) {
        if let (Some(Place(index)), Some(table)) = (place, &mut self.table) {
            table.release(index);
        }
    }

    /// A slot is left.
    pub fn leave(&mut self, slot: u32) {
        let Some(seat) = self.seats.get_mut(slot as usize) else {
            return;
        };
        let index = std::mem::replace(seat, NO_SEAT);
        if index != NO_SEAT
            && let Some(table) = &mut self.table
        {
            table.release(index);
        }
    }

    /// Somebody who is no trusted proxy has connected where only those may.
    pub fn note_stranger(&mut self, client: Option<IpAddr>) {
        self.complaints.note(What::Stranger, client.map(Key::of));
    }

    /// A trusted proxy has not begun with its header.
    pub fn note_no_header(&mut self, proxy: Option<IpAddr>) {
        self.complaints.note(What::NoHeader, proxy.map(Key::of));
    }

    /// How many clients are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.as_ref().map_or(0, Table::len)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there may be.
    #[must_use]
    pub fn entries_max(&self) -> usize {
        self.table.as_ref().map_or(0, Table::entries_max)
    }

    /// What was refused so far.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.complaints.refusals()
    }

    /// A line for the log about what was refused, if it is time for one.
    pub fn take_line(&mut self, now: u64) -> Option<String> {
        self.complaints.take_line(now)
    }

    /// The entry of whoever asks: the one that a proxy tells of, else of the connection. `None` if
    /// that is nobody who is counted.
    fn asker(&mut self, id: Id, told: Option<IpAddr>, now_ns: u64) -> Option<u32> {
        let table = self.table.as_mut()?;
        match told {
            Some(client) => Some(table.find_or_add(Key::of(client), now_ns)),
            None => {
                let seat = self.seats.get(id.slot as usize).copied();
                seat.filter(|&seat| seat != NO_SEAT)
            }
        }
    }
}

impl Gate for Clients {
    fn enter(&mut self, id: Id, client: IpAddr, is_exempt: bool, now: u64) -> bool {
        let place = self.take_place(client, is_exempt, now);
        if let Some(place) = place {
            self.seat(id.slot, place);
            return true;
        }
        !self.is_limited()
    }

    fn admit(&mut self, id: Id, told: Option<IpAddr>, now: u64) -> Result<(), u32> {
        let Some(bucket) = self.bucket else {
            return Ok(());
        };
        let now_ns = bucket::nanos(now);
        let Some(index) = self.asker(id, told, now_ns) else {
            return Ok(());
        };
        let Some(table) = &mut self.table else {
            return Ok(());
        };
        let taken = bucket.take(&mut table.entry_mut(index).full_at, now_ns);
        if taken.is_err() {
            self.complaints.note(What::Requests, table.owner(index));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(connections: u32, rate: u32, burst: u32, entries: usize) -> config::Clients {
        config::Clients {
            connections_max: Some(connections).filter(|&most| most > 0),
            requests_per_second: Some(rate).filter(|&rate| rate > 0),
            burst,
            table_entries_max: entries,
            ..config::Clients::default()
        }
    }

    fn limited(connections: u32, rate: u32, burst: u32, entries: usize) -> Clients {
        let mut clients = Clients::default();
        clients.set_bounds(&bounds(connections, rate, burst, entries), 0);
        clients
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn id(slot: u32) -> Id {
        Id {
            slot,
            generation: 0,
        }
    }

    /// Whether a client gets one connection more, in a slot.
    fn connect(clients: &mut Clients, slot: u32, client: &str) -> bool {
        clients.enter(id(slot), ip(client), false, 0)
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "0.0.0.0", false),
            ("0:ffff:c000:201::", "192.0.2.1", true),
        ] {
            assert_eq!(
                Key::of(ip(one)) == Key::of(ip(other)),
                is_same,
                "{one} {other}"
            );
        }
        assert_eq!(Key::of(ip("192.0.2.1")).to_string(), "192.0.2.1");
        assert_eq!(Key::of(ip("2001:db8::1")).to_string(), "2001:db8::/64");
        assert_eq!(Key::of(ip("::1")).to_string(), "::/64");
    }

    #[test]
    fn connections_are_counted_for_each_client_and_given_back() {
        let mut clients = limited(2, 0, 0, 10);
        assert!(connect(&mut clients, 0, "192.0.2.1"));
        assert!(connect(&mut clients, 1, "192.0.2.1"));
        assert!(!connect(&mut clients, 2, "192.0.2.1"));
        assert!(connect(&mut clients, 2, "192.0.2.2"));
        clients.leave(0);
        clients.leave(0);
        assert!(connect(&mut clients, 0, "192.0.2.1"));
        assert!(!connect(&mut clients, 3, "192.0.2.1"));
        assert_eq!(clients.refusals().connections, 2);
        let exempt = clients.take_place(ip("192.0.2.1"), true, 0);
        clients.seat(7, exempt.unwrap());
        clients.leave(1);
        assert!(
            !connect(&mut clients, 1, "192.0.2.1"),
            "the exempt one counts"
        );
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut clients = limited(0, 2, 3, 10);
        assert!(connect(&mut clients, 5, "192.0.2.1"));
        let mut ask = |told: Option<&str>, now| clients.admit(id(5), told.map(ip), now);
        for _ in 0..3 {
            assert_eq!(ask(None, 1000), Ok(()));
        }
        assert_eq!(ask(None, 1000), Err(1));
        assert_eq!(ask(None, 1499), Err(1));
        assert_eq!(ask(None, 1500), Ok(()));
        assert_eq!(ask(None, 1500), Err(1));
        // What a proxy tells is another client's, unless it is the same.
        assert_eq!(ask(Some("192.0.2.2"), 1500), Ok(()));
        assert_eq!(ask(Some("192.0.2.1"), 1500), Err(1));
        assert_eq!(clients.refusals().requests, 4);
        let mut slow = limited(0, 1, 1, 10);
        assert_eq!(slow.admit(id(0), Some(ip("::1")), 0), Ok(()));
        assert_eq!(slow.admit(id(0), Some(ip("::1")), 1), Err(1));
        // Whoever has no seat and is not told is nobody's client.
        for _ in 0..10 {
            assert_eq!(slow.admit(id(0), None, 0), Ok(()));
        }
    }

    #[test]
    fn one_who_finds_no_place_shares_that_of_all_who_find_none() {
        let mut clients = limited(2, 1, 2, 2);
        assert!(connect(&mut clients, 0, "192.0.2.1"));
        assert!(connect(&mut clients, 1, "192.0.2.2"));
        assert!(connect(&mut clients, 2, "192.0.2.3"));
        assert!(connect(&mut clients, 3, "192.0.2.4"));
        assert!(!connect(&mut clients, 4, "192.0.2.5"));
        assert_eq!(clients.len(), 2);
        assert_eq!(clients.admit(id(2), None, 0), Ok(()));
        assert_eq!(clients.admit(id(3), None, 0), Ok(()));
        assert_eq!(clients.admit(id(2), None, 0), Err(1));
        assert_eq!(clients.admit(id(0), None, 0), Ok(()));
        clients.leave(1);
        assert!(
            connect(&mut clients, 1, "192.0.2.6"),
            "a place has become free"
        );
        assert_eq!(clients.admit(id(1), None, 0), Ok(()));
        for slot in 0..4 {
            clients.leave(slot);
        }
        assert!(connect(&mut clients, 0, "192.0.2.3"));
    }

    #[test]
    fn other_bounds_keep_what_is_known() {
        let mut clients = limited(1, 0, 0, 100);
        for slot in 0..4 {
            assert!(connect(&mut clients, slot, &format!("192.0.2.{slot}")));
        }
        clients.set_bounds(&bounds(2, 0, 0, 2), 0);
        assert_eq!(clients.len(), 2);
        // Two have found a place, and two share one; all give back what they have.
        for slot in 0..4 {
            clients.leave(slot);
        }
        clients.set_bounds(&bounds(1, 10, 10, 2), 0);
        assert!(connect(&mut clients, 9, "192.0.2.7"));
        assert!(!connect(&mut clients, 8, "192.0.2.7"));
        clients.set_bounds(&bounds(0, 0, 0, 2), 0);
        assert!(!clients.is_limited() && clients.is_empty());
        assert!(connect(&mut clients, 8, "192.0.2.7"));
        clients.set_bounds(&bounds(1, 0, 0, 2), 0);
        clients.leave(9);
        assert!(connect(&mut clients, 8, "192.0.2.7"));
    }

    #[test]
    fn another_rate_asks_for_as_many_requests_as_are_owed() {
        let mut clients = limited(0, 1, 10, 4);
        let one = Some(ip("192.0.2.1"));
        for _ in 0..10 {
            assert_eq!(clients.admit(id(0), one, 0), Ok(()));
        }
        assert_eq!(clients.admit(id(0), one, 0), Err(1));
        clients.set_bounds(&bounds(0, 1000, 10, 4), 0);
        assert_eq!(clients.admit(id(0), one, 1), Ok(()));
        assert_eq!(clients.admit(id(0), one, 1), Err(1));
        clients.set_bounds(&bounds(0, 1, 2, 4), 1);
        assert_eq!(clients.admit(id(0), one, 1000), Err(1));
        assert_eq!(clients.admit(id(0), one, 1001), Ok(()));
    }

    #[test]
    fn the_log_gets_one_line_for_many() {
        let mut clients = limited(1, 0, 0, 4);
        assert_eq!(clients.take_line(0), None);
        assert!(connect(&mut clients, 0, "192.0.2.1"));
        for slot in 1..4 {
            assert!(!connect(&mut clients, slot, "192.0.2.1"));
        }
        let line = clients.take_line(5).unwrap();
        assert_eq!(
            line,
            "client 192.0.2.1 refused: it has as many connections as one may have; 2 more like that"
        );
        clients.note_stranger(Some(ip("2001:db8::7")));
        clients.note_no_header(None);
        assert_eq!(clients.take_line(10_004), None);
        let line = clients.take_line(10_005).unwrap();
        assert!(
            line.starts_with("client 2001:db8::/64 refused: only trusted"),
            "{line}"
        );
        assert!(line.ends_with("; 1 more like that"), "{line}");
        assert_eq!(clients.take_line(99_999), None);
    }

    // ---- against something simpler --------------------------------------------------------

    /// A client as one would write it down: tokens in nanoseconds, filled up when looked at.
    #[derive(Clone, Debug)]
    struct Plain {
        client: u8,
        connections: u32,
        level: u64,
        looked: u64,
    }

    /// The same table as a list, the one that was not used for longest first.
    struct Model {
        list: Vec<Plain>,
        shared: Plain,
        connections_max: u32,
        interval: u64,
        capacity: u64,
        entries_max: usize,
    }

    impl Model {
        fn new(connections_max: u32, rate: u32, burst: u32, entries_max: usize) -> Self {
            let interval = 1_000_000_000 / u64::from(rate);
            let capacity = interval * u64::from(burst);
            Self {
                list: Vec::new(),
                shared: Plain::new(0, capacity),
                connections_max,
                interval,
                capacity,
                entries_max,
            }
        }

        fn level(&self, plain: &Plain, now: u64) -> u64 {
            (plain.level + (now - plain.looked) * 1_000_000).min(self.capacity)
        }

        /// Moves the client's entry to the end of the list; none if there is no room.
        fn find(&mut self, client: u8, now: u64) -> Option<&mut Plain> {
            let at = self.list.iter().position(|plain| plain.client == client);
            let plain = match at {
                Some(at) => self.list.remove(at),
                None => {
                    if self.list.len() == self.entries_max {
                        let is_idle = |it: &&(usize, &Plain)| it.1.connections == 0;
                        let idle: Vec<_> = self.list.iter().enumerate().collect();
                        let idle: Vec<_> = idle.iter().filter(is_idle).collect();
                        let is_full =
                            |it: &&&(usize, &Plain)| self.level(it.1, now) == self.capacity;
                        let full = idle.iter().take(8).find(is_full);
                        let goes = full.or(idle.first()).map(|it| it.0)?;
                        self.list.remove(goes);
                    }
                    Plain::new(client, self.capacity)
                }
            };
            self.list.push(plain);
            self.list.last_mut()
        }

        fn connect(&mut self, client: u8, now: u64) -> bool {
            let most = self.connections_max;
            let (shared, found) = match self.find(client, now) {
                Some(_) => (false, self.list.len() - 1),
                None => (true, 0),
            };
            let plain = if shared {
                &mut self.shared
            } else {
                &mut self.list[found]
            };
            let is_let_in = plain.connections < most;
            plain.connections += u32::from(is_let_in);
            is_let_in
        }

        fn held(&mut self, client: Option<u8>) -> usize {
            self.list
                .iter()
                .position(|plain| Some(plain.client) == client)
                .unwrap()
        }

        fn ask(&self, plain: &mut Plain, now: u64) -> Result<(), u32> {
            plain.level = self.level(plain, now);
            plain.looked = now;
            if plain.level < self.interval {
                return Err((self.interval - plain.level).div_ceil(1_000_000_000) as u32);
            }
            plain.level -= self.interval;
            Ok(())
        }
    }

    impl Plain {
        fn new(client: u8, level: u64) -> Self {
            Self {
                client,
                connections: 0,
                level,
                looked: 0,
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Deed {
        Connect(u8),
        Leave(usize),
        Ask(usize),
        AskFor(u8),
        Pass(u64),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            3 => (0..24u8).prop_map(Deed::Connect),
            2 => any::<usize>().prop_map(Deed::Leave),
            4 => any::<usize>().prop_map(Deed::Ask),
            3 => (0..24u8).prop_map(Deed::AskFor),
            2 => (0..3000u64).prop_map(Deed::Pass),
        ]
    }

    proptest! {
        #[test]
        fn the_table_does_what_a_list_does(
            deeds in prop::collection::vec(deed(), 1..200),
            most in 1..4u32,
            rate in 1..20u32,
            burst in 1..6u32,
            entries in 1..30usize,
        ) {
            let mut clients = limited(most, rate, burst, entries);
            let mut model = Model::new(most, rate, burst, entries);
            // Slot by slot: the client, unless it shares the common entry.
            let mut slots: Vec<Option<Option<u8>>> = Vec::new();
            let mut now = 0;
            let address = |client: u8| IpAddr::from([192, 0, 2, client]);
            for deed in deeds {
                match deed {
                    Deed::Connect(client) => {
                        let slot = slots.iter().position(Option::is_none).unwrap_or(slots.len());
                        let is_let_in = clients.enter(id(slot as u32), address(client), false, now);
                        prop_assert_eq!(is_let_in, model.connect(client, now));
                        if is_let_in {
                            slots.resize(slots.len().max(slot + 1), None);
                            let is_known = model.list.iter().any(|plain| plain.client == client);
                            slots[slot] = Some(is_known.then_some(client));
                        }
                    }
                    Deed::Leave(slot) | Deed::Ask(slot) if slots.is_empty() => { let _ = slot; }
                    Deed::Leave(slot) => {
                        let slot = slot % slots.len();
                        clients.leave(slot as u32);
                        match slots[slot].take() {
                            None => {}
                            Some(None) => model.shared.connections -= 1,
                            Some(client) => {
                                let at = model.held(client);
                                model.list[at].connections -= 1;
                                if model.list[at].connections == 0 {
                                    let plain = model.list.remove(at);
                                    model.list.push(plain);
                                }
                            }
                        }
                    }
                    Deed::Ask(slot) => {
                        let slot = slot % slots.len();
                        let answer = clients.admit(id(slot as u32), None, now);
                        let expected = match slots[slot] {
                            None => Ok(()),
                            Some(None) => {
                                let mut plain = model.shared.clone();
                                let answer = model.ask(&mut plain, now);
                                model.shared = plain;
                                answer
                            }
                            Some(client) => {
                                let at = model.held(client);
                                let mut plain = model.list[at].clone();
                                let answer = model.ask(&mut plain, now);
                                model.list[at] = plain;
                                answer
                            }
                        };
                        prop_assert_eq!(answer, expected);
                    }
                    Deed::AskFor(client) => {
                        let answer = clients.admit(id(0), Some(address(client)), now);
                        let is_own = model.find(client, now).is_some();
                        let mut plain = if is_own {
                            model.list.last().unwrap().clone()
                        } else {
                            model.shared.clone()
                        };
                        prop_assert_eq!(answer, model.ask(&mut plain, now));
                        if is_own {
                            *model.list.last_mut().unwrap() = plain;
                        } else {
                            model.shared = plain;
                        }
                    }
                    Deed::Pass(ms) => now += ms,
                }
                prop_assert_eq!(clients.len(), model.list.len());
            }
        }
    }
}
