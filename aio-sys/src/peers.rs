//! The addresses of those who were accepted, beside the table of descriptors: who keeps none has none of it.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// Addresses, at the slab indices of their connections. An entry says whether its own is in here: what a
/// connection leaves behind is overwritten by the next one at that index, and never read.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    v4: Vec<Option<SocketAddrV4>>,
    v6: Vec<Option<SocketAddrV6>>,
}

impl Peers {
    /// Keeps an address; false if there is no memory for it.
    pub(crate) fn insert(&mut self, index: u32, peer: SocketAddr) -> bool {
        match peer {
            SocketAddr::V4(peer) => {
                // One of the other family may have had the index.
                if let Some(other) = self.v6.get_mut(index as usize) {
                    *other = None;
                }
                put(&mut self.v4, index, peer)
            }
            SocketAddr::V6(peer) => put(&mut self.v6, index, peer),
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<SocketAddr> {
        let v6 = self.v6.get(index as usize).copied().flatten();
        let v4 = || self.v4.get(index as usize).copied().flatten();
        v6.map(SocketAddr::V6).or_else(|| v4().map(SocketAddr::V4))
    }
}

fn put<T>(addresses: &mut Vec<Option<T>>, index: u32, address: T) -> bool {
    let length = index as usize + 1;
    let more = length.saturating_sub(addresses.len());
    if addresses.try_reserve(more).is_err() && addresses.try_reserve_exact(more).is_err() {
        return false;
    }
    if more > 0 {
        addresses.resize_with(length, || None);
    }
    addresses[index as usize] = Some(address);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_at_an_index_counts() {
        let mut peers = Peers::default();
        let [v4, v6]: [SocketAddr; 2] = ["10.0.0.1:7", "[::1]:8"].map(|address| address.parse().unwrap());
        assert_eq!(peers.get(3), None);
        for address in [v4, v6, v4, v6] {
            assert!(peers.insert(3, address));
            assert_eq!((peers.get(3), peers.get(2), peers.get(4)), (Some(address), None, None));
        }
    }

    #[test]
    fn an_address_of_ipv4_takes_8_bytes_and_one_of_ipv6_32() {
        assert_eq!((size_of::<Option<SocketAddrV4>>(), size_of::<Option<SocketAddrV6>>()), (8, 32));
    }
}
