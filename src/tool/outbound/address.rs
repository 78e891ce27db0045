//! Which addresses are on the public internet.
//!
//! Everything else (this machine, the local network, the cloud's metadata service, addresses that are
//! reserved or mean another one) is refused unless the operator grants the host by name. The rule for
//! IPv6 is positive: what is not known to be public is refused. Facts: the IANA special-purpose address
//! registries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with an address, in words that follow "leads to"; none for a public one.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    // An address of the public ranges behind which a cloud answers its own machines.
    const AZURE_WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    match address.octets() {
        [0, ..] => Some("an unspecified address"),
        [127, ..] => Some("a loopback address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private address"),
        [169, 254, ..] => Some("a link-local address"),
        [100, 64..=127, ..] => Some("an address of a carrier's own network"),
        [192, 0, 0, _] | [192, 88, 99, _] => Some("a reserved address"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("a documentation address"),
        [198, 18..=19, ..] => Some("a benchmark address"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ if address == AZURE_WIRE_SERVER => Some("an address of the cloud's own"),
        _ => None,
    }
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("an unspecified address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    match address.segments() {
        // IPv4-mapped, and NAT64 with its well-known prefix: as good as the address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            refusal_v4(embedded(high, low))
        }
        // 6to4.
        [0x2002, high, low, ..] => refusal_v4(embedded(high, low)),
        // Teredo: server and, with its bits turned over, client.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            refusal_v4(embedded(!high, !low)).or_else(|| refusal_v4(embedded(server_high, server_low)))
        }
        // ISATAP: an IPv4 address as the interface of any network.
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low]
            if refusal_v4(embedded(high, low)).is_some() =>
        {
            Some("an address that means a private one")
        }
        [0xfc00..=0xfdff, ..] => Some("a private address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfec0..=0xfeff, ..] => Some("a site-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("a documentation address"),
        // The block of protocol assignments: benchmarks, ORCHID, anycast of protocols.
        [0x2001, 0..=0x1ff, ..] => Some("a reserved address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_the_public_internet_is_refused() {
        for (text, expected) in [
            ("0.0.0.0", "an unspecified address"),
            ("0.1.2.3", "an unspecified address"),
            ("127.0.0.1", "a loopback address"),
            ("127.255.255.254", "a loopback address"),
            ("10.0.0.0", "a private address"),
            ("10.255.255.255", "a private address"),
            ("172.16.0.0", "a private address"),
            ("172.31.255.255", "a private address"),
            ("192.168.0.1", "a private address"),
            ("169.254.169.254", "a link-local address"),
            ("169.254.0.0", "a link-local address"),
            ("100.64.0.0", "an address of a carrier's own network"),
            ("100.100.100.200", "an address of a carrier's own network"),
            ("100.127.255.255", "an address of a carrier's own network"),
            ("192.0.0.192", "a reserved address"),
            ("192.88.99.1", "a reserved address"),
            ("192.0.2.1", "a documentation address"),
            ("198.51.100.1", "a documentation address"),
            ("203.0.113.255", "a documentation address"),
            ("198.18.0.0", "a benchmark address"),
            ("198.19.255.255", "a benchmark address"),
            ("224.0.0.1", "a multicast address"),
            ("239.255.255.255", "a multicast address"),
            ("240.0.0.1", "a reserved address"),
            ("255.255.255.255", "a reserved address"),
            ("168.63.129.16", "an address of the cloud's own"),
            ("::", "an unspecified address"),
            ("::1", "a loopback address"),
            ("::2", "a reserved address"),
            ("fc00::1", "a private address"),
            ("fd00:ec2::254", "a private address"),
            ("fe80::1", "a link-local address"),
            ("febf::1", "a link-local address"),
            ("fec0::1", "a site-local address"),
            ("ff02::1", "a multicast address"),
            ("2001:db8::1", "a documentation address"),
            ("3fff:fff::1", "a documentation address"),
            ("2001:2::1", "a reserved address"),
            ("2001:10::1", "a reserved address"),
            ("2001:1ff::1", "a reserved address"),
            ("100::1", "a reserved address"),
            ("64:ff9b:1::1", "a reserved address"),
            ("5f00::1", "a reserved address"),
            // IPv4 in other clothes: mapped, compatible, NAT64, 6to4, Teredo (client, server), ISATAP.
            ("::ffff:127.0.0.1", "a loopback address"),
            ("::ffff:10.1.2.3", "a private address"),
            ("::ffff:169.254.169.254", "a link-local address"),
            ("::127.0.0.1", "a reserved address"),
            ("::8.8.8.8", "a reserved address"),
            ("::ffff:0:127.0.0.1", "a reserved address"),
            ("64:ff9b::127.0.0.1", "a loopback address"),
            ("64:ff9b::169.254.169.254", "a link-local address"),
            ("64:ff9b::192.168.1.1", "a private address"),
            ("2002:7f00:1::", "a loopback address"),
            ("2002:a9fe:a9fe::1", "a link-local address"),
            ("2001:0:808:808::80ff:fffe", "a loopback address"),
            ("2001:0:a00:1:0:0:f7f7:f7f7", "a private address"),
            ("2600::5efe:10.0.0.1", "an address that means a private one"),
            ("2600::200:5efe:127.0.0.1", "an address that means a private one"),
        ] {
            assert_eq!(refusal(text.parse().unwrap()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_on_the_public_internet_is_not() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.0",
            "203.0.114.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2001:200::1",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2600::5efe:8.8.8.8",
        ] {
            assert_eq!(refusal(text.parse().unwrap()), None, "{text}");
        }
    }
}
