//! Host names in their one form: lower case, ASCII, without port and final dot.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The host in a `Host` header, which may have a port. `None` for what is no name, such as an
/// IPv6 address.
pub fn of_header(text: &str) -> Option<String> {
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        Some(_) => return None,
        None => text,
    };
    one_form(name)
}

/// The host that a developer writes down, in any script, without scheme and port. `None` if it is
/// not that.
pub fn of_setting(text: &str) -> Option<String> {
    one_form(text.trim())
}

/// Whether a `Host` header names the machine itself: browsers take such a place for safe without
/// TLS.
pub fn is_loopback(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|it| it.split_once(']')).map(|it| it.0);
    if let Some(address) = bare {
        return address.parse::<std::net::Ipv6Addr>().is_ok_and(|it| it.is_loopback());
    }
    let Some(name) = of_header(text) else { return false };
    let address = name.parse::<std::net::Ipv4Addr>();
    address.is_ok_and(|it| it.is_loopback()) || name == "localhost" || name.ends_with(".localhost")
}

/// `IDNA` (UTS 46) makes letters of any script and case one ASCII text; a final dot says only that
/// the name is complete.
fn one_form(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = Uts46::new().to_ascii(
        name.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::Allow,
        DnsLength::Verify,
    );
    ascii.ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form_however_it_is_written() {
        for (text, expected) in [
            ("app.example", Some("app.example")),
            ("APP.Example", Some("app.example")),
            ("app.example:9000", Some("app.example")),
            ("app.example:", Some("app.example")),
            ("app.example.", Some("app.example")),
            ("app.example.:443", Some("app.example")),
            ("Bücher.example", Some("xn--bcher-kva.example")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("ＡＰＰ．example", Some("app.example")),
            ("例え。テスト", Some("xn--r8jz45g.xn--zckzah")),
            ("127.0.0.1:9000", Some("127.0.0.1")),
            ("", None),
            (".", None),
            ("..", None),
            ("a..b", None),
            ("[::1]:9000", None),
            ("a:b", None),
            ("a:b:1", None),
            ("a b", None),
            ("a/b", None),
            ("user@app.example", None),
            ("a%2eexample", None),
            (&"a".repeat(64), None),
            (&"a.".repeat(130), None),
        ] {
            assert_eq!(of_header(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_developer_writes_neither_scheme_nor_port() {
        assert_eq!(of_setting(" App.Example. ").as_deref(), Some("app.example"));
        for text in ["app.example:80", "https://app.example", "app.example/", "*.example", ""] {
            assert_eq!(of_setting(text), None, "{text:?}");
        }
    }
}
