//! Whether a client would rather have JSON (RFC 9110 §12.5.1).

/// Of the two formats, only HTML is given to those who accept anything: JSON has to be named. If
/// both are named and liked equally, it is HTML.
pub(crate) fn prefers_json<'a>(fields: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut json = None;
    // By how exactly it was named: */*, text/*, text/html.
    let mut html = [None; 3];
    for range in fields.flat_map(|field| field.split(|&byte| byte == b',')) {
        let mut parts = range.split(|&byte| byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let place = if is(b"application/json") {
            &mut json
        } else if is(b"*/*") {
            &mut html[0]
        } else if is(b"text/*") {
            &mut html[1]
        } else if is(b"text/html") {
            &mut html[2]
        } else {
            continue;
        };
        *place = Some(quality(parts));
    }
    let of_html = html.iter().rev().find_map(|quality| *quality).unwrap_or(0);
    match json {
        None | Some(0) => false,
        Some(of_json) if html[2].is_some() => of_json > of_html,
        Some(of_json) => of_json >= of_html,
    }
}

/// The weight in thousandths; 1 if there is none, 0 if it is malformed.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> u16 {
    let weight = parameters.find_map(|parameter| {
        let (name, value) = parameter.trim_ascii().split_at_checked(2)?;
        name.eq_ignore_ascii_case(b"q=").then_some(value)
    });
    let Some(weight) = weight else { return 1000 };
    let (whole, fraction) = match weight {
        [whole @ (b'0' | b'1')] => (whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return 0,
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let digit = |at: usize| u16::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
    let thousandths = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    thousandths.min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_those_who_name_it() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("application/*", false),
            ("application/json", true),
            ("Application/JSON;q=0.1", true),
            ("application/json, */*", true),
            ("application/json, text/plain, */*", true),
            ("application/json;q=0.5, */*", false),
            ("application/json;q=0.5, */*;q=0.1", true),
            ("application/json;q=0", false),
            ("application/json;q=abc", false),
            ("application/json;q=1.001, text/html;q=0.999", true),
            ("text/html, application/json", false),
            ("text/html;q=0.9, application/json", true),
            ("text/*;q=0.2, application/json ; q=0.3, */*", true),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
                false,
            ),
        ] {
            let is_json = prefers_json([accept.as_bytes()].into_iter());
            assert_eq!(is_json, expected, "{accept}");
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        let fields: [&[u8]; 2] = [b"text/html;q=0.1", b"application/json"];
        assert!(prefers_json(fields.into_iter()));
    }
}
