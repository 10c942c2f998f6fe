//! The settings of tables that there may be several of: hosts, redirects, fields.

use super::Kind::{List, Map, OneOf, Text};
use super::{Row, row};

#[rustfmt::skip]
pub(super) const REDIRECT: &[Row] = &[
    row("redirect", "from", Text("a path, /a/*, or *.suffix"), |d| &mut d.redirect().from,
        "Which paths: `\"/a\"` is that one, `\"/a/*\"` all that begin with `/a/`, `\"*.htm\"` all that end so.")
        .default("must be given")
        .example("\"/old/*\""),
    row("redirect", "to", Text("a path or an absolute URI"), |d| &mut d.redirect().to,
        "To where: a path or an absolute URI. Behind `/a/*`, a `*` at its end stands for the rest of the path.")
        .default("must be given")
        .example("\"/new/*\""),
    row("redirect", "status", OneOf(&[301, 302, 303, 307, 308]), |d| &mut d.redirect().status,
        "301 and 308 are for ever, 302, 303 and 307 for now; 307 and 308 keep the method."),
];

#[rustfmt::skip]
pub(super) const HEADER: &[Row] = &[
    row("header", "path", Text("a path, /a/*, or *.suffix"), |d| &mut d.field_rule().paths,
        "Which paths, as `from` of `[[redirect]]`.")
        .default("must be given")
        .example("\"/assets/*\""),
    row("header", "set", Map { key: "NAME", value: "a value" }, |d| &mut d.field_rule().fields,
        "The fields; an empty value removes one. Those that frame a message, Server and Date cannot be set.")
        .default("must be given")
        .example("{ Cache-Control = \"max-age=31536000, immutable\" }"),
];

#[rustfmt::skip]
pub(super) const HOST: &[Row] = &[
    row("host", "names", List("host names"), |d| &mut d.host().names,
        "What the host is asked for by: names without a port, and `\"*.example.org\"` for all names that end so. A name is of one host only; an exact one goes before a `*`.")
        .default("must be given")
        .example("[\"example.org\", \"*.example.org\"]"),
];
