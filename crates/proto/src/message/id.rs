//! The two ids of a message: where it is stored, and what its sender called it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::atomic::{AtomicU16, Ordering},
};

/// Why text is not a message id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message id has 32 or 56 hexadecimal digits")]
pub struct IdError;

/// Offset id: the broker that stores a message and its place in that broker's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetId {
    /// Address that the broker announced when it stored the message.
    pub store_host: SocketAddr,
    /// Physical offset in the commit log.
    pub physical_offset: i64,
}

/// Upper-case hexadecimal, as Java writes it.
impl fmt::Display for OffsetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_ip(self.store_host.ip(), f)?;
        write!(f, "{:08X}{:016X}", u32::from(self.store_host.port()), self.physical_offset)
    }
}

impl FromStr for OffsetId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (ip, rest) = split_ip(text)?;
        let port = u32::from_be_bytes(rest[..4].try_into().map_err(|_| IdError)?);
        let offset = rest[4..].try_into().map_err(|_| IdError)?;
        Ok(Self {
            store_host: SocketAddr::new(ip, u16::try_from(port).map_err(|_| IdError)?),
            physical_offset: i64::from_be_bytes(offset),
        })
    }
}

/// Client id: made by the sender, unique over all senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UniqueId {
    /// Address of the sender.
    pub ip: IpAddr,
    /// Low 16 bits of the sender's process id.
    pub pid: u16,
    /// In Java the hash of a class loader; here any number that tells two senders in one process apart.
    pub loader: u32,
    /// Milliseconds since the month began.
    pub since_month_ms: u32,
    /// Running number.
    pub counter: u16,
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_ip(self.ip, f)?;
        let Self { pid, loader, since_month_ms, counter, .. } = self;
        write!(f, "{pid:04X}{loader:08X}{since_month_ms:08X}{counter:04X}")
    }
}

impl FromStr for UniqueId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (ip, rest) = split_ip(text)?;
        let rest: [u8; 12] = rest.try_into().map_err(|_| IdError)?;
        let word = |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        Ok(Self { ip, pid: half(0), loader: word(2), since_month_ms: word(6), counter: half(10) })
    }
}

/// Makes the unique ids of one sender.
#[derive(Debug)]
pub struct UniqueIds {
    ip: IpAddr,
    pid: u16,
    loader: u32,
    counter: AtomicU16,
}

impl UniqueIds {
    /// `loader` tells apart the senders of one process; a random number does.
    pub fn new(ip: IpAddr, pid: u32, loader: u32) -> Self {
        Self { ip, pid: pid as u16, loader, counter: AtomicU16::new(0) }
    }

    /// The next id, at `now_ms` after the Unix epoch. Java counts from the month's start in local time;
    /// only uniqueness is relied on, so UTC serves.
    pub fn next(&self, now_ms: i64) -> UniqueId {
        UniqueId {
            ip: self.ip,
            pid: self.pid,
            loader: self.loader,
            since_month_ms: (now_ms - month_start_ms(now_ms)) as u32,
            counter: self.counter.fetch_add(1, Ordering::Relaxed),
        }
    }
}

const DAY_MS: i64 = 86_400_000;

/// Start of the UTC month of `now_ms`, after Howard Hinnant's `civil_from_days`.
fn month_start_ms(now_ms: i64) -> i64 {
    let days = now_ms.div_euclid(DAY_MS);
    let of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month + 2) / 5;
    (days - day_of_month) * DAY_MS
}

fn fmt_ip(ip: IpAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match ip {
        IpAddr::V4(ip) => write!(f, "{:08X}", ip.to_bits()),
        IpAddr::V6(ip) => write!(f, "{:032X}", ip.to_bits()),
    }
}

/// The address at the start of an id, and the 12 bytes behind it.
fn split_ip(text: &str) -> Result<(IpAddr, Vec<u8>), IdError> {
    let mut bytes = hex(text)?;
    let ip_len = bytes.len().checked_sub(12).ok_or(IdError)?;
    let rest = bytes.split_off(ip_len);
    let ip = if let Ok(v4) = <[u8; 4]>::try_from(&bytes[..]) {
        IpAddr::V4(Ipv4Addr::from(v4))
    } else {
        let v6 = <[u8; 16]>::try_from(&bytes[..]).map_err(|_| IdError)?;
        IpAddr::V6(Ipv6Addr::from(v6))
    };
    Ok((ip, rest))
}

fn hex(text: &str) -> Result<Vec<u8>, IdError> {
    if !text.len().is_multiple_of(2) {
        return Err(IdError);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|d| d as u8).ok_or(IdError);
    text.as_bytes().chunks_exact(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offset_id_is_that_of_java() {
        let id = OffsetId { store_host: "10.0.0.2:10911".parse().unwrap(), physical_offset: 4096 };
        assert_eq!(id.to_string(), "0A00000200002A9F0000000000001000");
        assert_eq!("0A00000200002A9F0000000000001000".parse(), Ok(id));
        assert_eq!("0a00000200002a9f0000000000001000".parse(), Ok(id));
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in ["", "0A", "0A00000200002A9F000000000000100", "é".repeat(16).as_str()] {
            assert_eq!(text.parse::<OffsetId>(), Err(IdError));
            assert_eq!(text.parse::<UniqueId>(), Err(IdError));
        }
        assert!("0A00000201002A9F0000000000001000".parse::<OffsetId>().is_err());
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        // 2024-02-29T12:00Z is in a month that began at 2024-02-01T00:00Z.
        assert_eq!(month_start_ms(1_709_208_000_000), 1_706_745_600_000);
        assert_eq!(month_start_ms(0), 0);
        assert_eq!(month_start_ms(1_706_745_600_000), 1_706_745_600_000);
        assert_eq!(month_start_ms(1_706_745_599_999), 1_704_067_200_000);
    }

    #[test]
    fn unique_ids_differ() {
        let ids = UniqueIds::new("::1".parse().unwrap(), 70_000, 1);
        let (one, two) = (ids.next(1_700_000_000_000), ids.next(1_700_000_000_000));
        assert_ne!(one, two);
        assert_eq!(one.to_string().len(), 56);
        assert_eq!(one.to_string().parse(), Ok(one));
    }

    proptest! {
        #[test]
        fn offset_ids_come_back(v6: bool, ip: u128, port: u16, physical_offset: i64) {
            let ip = if v6 { IpAddr::V6(ip.into()) } else { IpAddr::V4((ip as u32).into()) };
            let id = OffsetId { store_host: SocketAddr::new(ip, port), physical_offset };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}
