//! Looking names up, and the check through which every looked-up address goes.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns;

use super::address::refusal;
use super::url::normal_host;

/// What a lookup gives.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All addresses of `host`, best first.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

/// Asks the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Gives connections only addresses that they may use, so that what was checked is what is connected.
pub(super) struct Guarded {
    pub(super) resolve: Arc<dyn Resolve>,
    pub(super) private_hosts: Arc<BTreeSet<String>>,
}

/// A name that leads to nothing that may be reached.
#[derive(Debug)]
pub(super) struct NothingPublic {
    host: String,
    words: &'static str,
}

impl fmt::Display for NothingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NothingPublic { host, words } = self;
        write!(f, "`{host}` leads to {words}: grant it by name in `private_hosts` if that is meant")
    }
}

impl std::error::Error for NothingPublic {}

impl dns::Resolve for Guarded {
    fn resolve(&self, name: dns::Name) -> dns::Resolving {
        let (resolve, private_hosts) = (self.resolve.clone(), self.private_hosts.clone());
        Box::pin(async move {
            let host = name.as_str();
            let found = resolve.resolve(host).await?;
            let public = permitted(host, &found, &private_hosts)?;
            let addresses: dns::Addrs = Box::new(public.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

fn permitted(
    host: &str,
    found: &[IpAddr],
    private_hosts: &BTreeSet<String>,
) -> Result<Vec<IpAddr>, NothingPublic> {
    if normal_host(host).is_some_and(|host| private_hosts.contains(&host)) {
        return Ok(found.to_vec());
    }
    let public: Vec<IpAddr> = found.iter().copied().filter(|address| refusal(*address).is_none()).collect();
    match found.iter().find_map(|address| refusal(*address)) {
        Some(words) if public.is_empty() => Err(NothingPublic { host: host.to_owned(), words }),
        _ => Ok(public),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass_unless_the_host_is_granted() {
        let [inside, outside]: [IpAddr; 2] = ["10.0.0.5", "1.1.1.1"].map(|text| text.parse().unwrap());
        let granted = BTreeSet::from(["crm.internal".to_owned()]);
        let check =
            |host: &str, found: &[IpAddr]| permitted(host, found, &granted).map_err(|error| error.words);
        assert_eq!(check("crm.internal", &[inside]), Ok(vec![inside]));
        assert_eq!(check("CRM.internal.", &[inside]), Ok(vec![inside]));
        assert_eq!(check("evil.example", &[inside]), Err("a private address"));
        assert_eq!(check("evil.example", &[inside, outside]), Ok(vec![outside]));
        assert_eq!(check("crm.internal.evil.example", &[inside]), Err("a private address"));
        assert_eq!(check("empty.example", &[]), Ok(vec![]));
    }
}
