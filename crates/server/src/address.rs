//! Where a request comes from, behind proxies or not (ASVS 5.0, 4.1.3).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The proxies whose word on who is behind them counts, none by default; and how many bits of an
/// IPv6 address tell sources apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    prefix: u8,
}

/// One household or server has all the addresses under such a prefix.
const PREFIX: u8 = 64;

impl Default for TrustedProxies {
    fn default() -> Self {
        Self { networks: Vec::new(), prefix: PREFIX }
    }
}

/// An entry of the proxy list that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// It cannot be read.
    #[error(
        "trusted proxy {0:?} is neither an address nor a network. \
         Write it like 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32"
    )]
    Unreadable(String),
    /// It has bits set beyond its prefix: one address was meant, or another network.
    #[error("trusted proxy {given:?} is no network. Write {network} or only the address")]
    HostBits {
        /// The entry.
        given: String,
        /// The network of the same length that the address lies in.
        network: IpNet,
    },
}

impl TrustedProxies {
    /// Reads the list as the operator wrote it: addresses and networks, IPv4 and IPv6. Fails with
    /// the first entry that is neither.
    pub fn parse(entries: &[String]) -> Result<Self, BadProxy> {
        let networks = entries.iter().map(|it| network(it.trim())).collect::<Result<_, _>>()?;
        Ok(Self { networks, ..Self::default() })
    }

    /// The same, with that many bits of an IPv6 address, 1 to 128.
    #[must_use]
    pub fn with_prefix(self, bits: u8) -> Self {
        Self { prefix: bits.clamp(1, 128), ..self }
    }

    /// Whether `address` is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|it| it.contains(&address))
    }
}

/// The address that a request comes from. An IPv4 address in IPv6 form is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    address: IpAddr,
    prefix: u8,
}

/// What limits are counted by: an IPv4 address, or the prefix of an IPv6 address, of 64 bits unless
/// the operator says otherwise, because one household or server has all addresses under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(IpAddr, u8);

impl Source {
    /// The address itself.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The source that was written down as that text.
    pub fn written(text: &str, proxies: &TrustedProxies) -> Option<Self> {
        text.parse().ok().map(|peer| source(peer, &[], proxies))
    }

    /// The group that limits count this address in.
    pub fn group(self) -> Group {
        match self.address {
            IpAddr::V4(_) => Group(self.address, 32),
            IpAddr::V6(address) => {
                let bits = u128::MAX << (128 - u32::from(self.prefix));
                Group(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & bits)), self.prefix)
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}

impl fmt::Display for Group {
    /// Its one text: `203.0.113.7` or `2001:db8:1:2::/64`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(formatter, "{address}"),
            IpAddr::V6(prefix) => write!(formatter, "{prefix}/{}", self.1),
        }
    }
}

/// Finds where a request comes from that reached us from `peer`, with the values of all its
/// `X-Forwarded-For` lines in the order in which they came.
///
/// The header is believed as far as trusted proxies wrote it, from the right: each proxy appends
/// the address that it was called from, so the first address from the right that is not a trusted
/// proxy is the client, and all to the left of it is the client's own word. Where an entry cannot
/// be read, the last address before it counts.
pub fn source(peer: IpAddr, forwarded_for: &[&str], proxies: &TrustedProxies) -> Source {
    let mut source = peer.to_canonical();
    let mut hops = forwarded_for.iter().rev().flat_map(|it| it.rsplit(','));
    while proxies.trusts(source) {
        match hops.next().and_then(hop) {
            Some(address) => source = address,
            None => break,
        }
    }
    Source { address: source, prefix: proxies.prefix }
}

/// One entry of the header: an address, as some proxies write it with a port or in brackets.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()));
    address.map(|it| it.to_canonical())
}

fn network(text: &str) -> Result<IpNet, BadProxy> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let unreadable = || BadProxy::Unreadable(text.to_owned());
    let network = canonical(text.parse().map_err(|_| unreadable())?);
    let exact = network.trunc();
    if exact != network {
        return Err(BadProxy::HostBits { given: text.to_owned(), network: exact });
    }
    Ok(network)
}

/// An IPv6 network that holds nothing but IPv4 addresses is the IPv4 network.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let (Some(four), Some(length)) =
        (six.addr().to_ipv4_mapped(), six.prefix_len().checked_sub(96))
    else {
        return network;
    };
    IpNet::new(IpAddr::V4(four), length).unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(entries: &[&str]) -> TrustedProxies {
        let entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
        TrustedProxies::parse(&entries).unwrap()
    }

    #[test]
    fn the_header_counts_as_far_as_trusted_proxies_wrote_it() {
        // What it shows, the peer, the header lines, and who it was. 10.0.0.0/8 and fd00::/8 are
        // trusted proxies.
        let table: &[(&str, &str, &[&str], &str)] = &[
            ("no proxy, no header", "203.0.113.7", &[], "203.0.113.7"),
            ("a stranger forges", "203.0.113.7", &["192.0.2.1"], "203.0.113.7"),
            ("a stranger forges a proxy", "203.0.113.7", &["10.0.0.1"], "203.0.113.7"),
            ("a proxy says nothing", "10.0.0.1", &[], "10.0.0.1"),
            ("a proxy says who", "10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("the client forged one", "10.0.0.1", &["192.0.2.1, 203.0.113.7"], "203.0.113.7"),
            ("in a line of its own", "10.0.0.1", &["192.0.2.1", "203.0.113.7"], "203.0.113.7"),
            ("forged as a proxy", "10.0.0.1", &["10.9.9.9, 203.0.113.7"], "203.0.113.7"),
            ("two proxies", "10.0.0.1", &["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            ("two lines", "10.0.0.1", &["192.0.2.1,203.0.113.7", "10.0.0.2"], "203.0.113.7"),
            ("a proxy's own request", "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("blanks and tabs", "10.0.0.1", &[" \t203.0.113.7\t , 10.0.0.2 "], "203.0.113.7"),
            ("with a port", "10.0.0.1", &["203.0.113.7:4711"], "203.0.113.7"),
            ("IPv6", "fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("IPv6 in brackets", "fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("IPv6 with a port", "fd00::1", &["[2001:db8::7]:443, 10.0.0.1"], "2001:db8::7"),
            ("IPv6 in another spelling", "FD00:0::1", &["2001:DB8:0::0007"], "2001:db8::7"),
            ("a mapped peer", "::ffff:10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            ("a mapped stranger", "::ffff:203.0.113.7", &["192.0.2.1"], "203.0.113.7"),
            ("a mapped hop", "10.0.0.1", &["203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
            ("nothing readable", "10.0.0.1", &["unknown"], "10.0.0.1"),
            ("unreadable in between", "10.0.0.1", &["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("an empty entry", "10.0.0.1", &["203.0.113.7,,10.0.0.2"], "10.0.0.2"),
            ("an empty line", "10.0.0.1", &["203.0.113.7", ""], "10.0.0.1"),
            ("a name", "10.0.0.1", &["localhost"], "10.0.0.1"),
            ("an obfuscated node", "10.0.0.1", &["_hidden"], "10.0.0.1"),
            ("an old number", "10.0.0.1", &["3405803783"], "10.0.0.1"),
            ("octal", "10.0.0.1", &["0313.0.0161.07"], "10.0.0.1"),
            ("IPv4 in brackets", "10.0.0.1", &["[203.0.113.7]"], "10.0.0.1"),
            ("a port that is none", "10.0.0.1", &["203.0.113.7:99999"], "10.0.0.1"),
            ("quoted", "10.0.0.1", &["\"203.0.113.7\""], "10.0.0.1"),
            ("behind what cannot be read", "10.0.0.1", &["x, 203.0.113.7"], "203.0.113.7"),
        ];
        let trusted = proxies(&["10.0.0.0/8", "fd00::/8"]);
        for (what, peer, lines, expected) in table {
            let found = source(peer.parse().unwrap(), lines, &trusted);
            assert_eq!(found.to_string(), *expected, "{what}");
        }
        let nobody = TrustedProxies::default();
        let found = source("127.0.0.1".parse().unwrap(), &["192.0.2.1"], &nobody);
        assert_eq!(found.to_string(), "127.0.0.1", "not even loopback is trusted by itself");
    }

    #[test]
    fn the_list_takes_addresses_and_networks() {
        let list = proxies(&[
            "192.0.2.1",
            " 10.0.0.0/8 ",
            "2001:db8::/32",
            "::1",
            "::ffff:172.16.0.0/108",
        ]);
        for inside in
            ["192.0.2.1", "10.255.0.1", "2001:db8:ffff::1", "::1", "172.31.0.1", "::ffff:10.1.1.1"]
        {
            assert!(list.trusts(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.2.2", "11.0.0.1", "2001:db9::1", "::2", "172.32.0.1", "127.0.0.1"] {
            assert!(!list.trusts(outside.parse().unwrap()), "{outside}");
        }
        assert!(proxies(&["0.0.0.0/0"]).trusts("203.0.113.7".parse().unwrap()));
        assert!(!proxies(&["0.0.0.0/0"]).trusts("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn a_mistake_in_the_list_is_named() {
        for entry in [
            "",
            "proxy",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/-1",
            "::/129",
            "*",
            "10.0.0.1:80",
            "10.0.0.1,10.0.0.2",
        ] {
            let refused = TrustedProxies::parse(&["10.0.0.1".into(), entry.into()]);
            assert_eq!(refused, Err(BadProxy::Unreadable(entry.into())));
        }
        let refused = TrustedProxies::parse(&["10.0.0.1/8".into()]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "trusted proxy \"10.0.0.1/8\" is no network. Write 10.0.0.0/8 or only the address"
        );
    }

    #[test]
    fn limits_count_an_address_or_a_64_bit_prefix() {
        let group = |text: &str| {
            source(text.parse().unwrap(), &[], &TrustedProxies::default()).group().to_string()
        };
        assert_eq!(group("203.0.113.7"), "203.0.113.7");
        assert_eq!(group("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(group("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(group("2001:db8:1:2::"), group("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(group("2001:db8:1:2::1"), group("2001:db8:1:3::1"));
        let with = |bits: u8, text: &str| {
            let proxies = TrustedProxies::default().with_prefix(bits);
            Source::written(text, &proxies).unwrap().group().to_string()
        };
        assert_eq!(with(48, "2001:db8:1:2:3::4"), "2001:db8:1::/48");
        assert_eq!(with(128, "2001:db8:1:2:3::4"), "2001:db8:1:2:3::4/128");
        assert_eq!(with(1, "ffff::1"), "8000::/1");
        assert_eq!(with(48, "::ffff:203.0.113.7"), "203.0.113.7");
        // An IPv4 address and the prefix with the same bits are different groups.
        assert_ne!(group("0.0.0.0"), group("::"));
    }

    proptest! {
        #[test]
        fn a_header_never_panics_and_never_hides_a_stranger(
            peer in any::<IpAddr>(),
            lines in proptest::collection::vec("[0-9a-f.:, \\[\\]%x]{0,40}|\\PC{0,10}", 0..4),
        ) {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let trusted = proxies(&["10.0.0.0/8"]);
            let found = source(peer, &lines, &trusted);
            if !trusted.trusts(peer) {
                prop_assert_eq!(found.address(), peer.to_canonical());
            }
            prop_assert_eq!(found.address(), found.address().to_canonical());
        }

        #[test]
        fn whatever_the_client_writes_the_nearest_trusted_proxy_decides(
            client in any::<std::net::Ipv4Addr>(),
            forged in "\\PC{0,40}",
        ) {
            let trusted = proxies(&["fd00::/8"]);
            let header = format!("{forged}, {client}");
            let found = source("fd00::1".parse().unwrap(), &[&header], &trusted);
            prop_assert_eq!(found.address(), IpAddr::V4(client));
        }
    }
}
