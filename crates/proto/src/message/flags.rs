//! The bits of a message's `sysFlag`.

/// The body is compressed.
pub const COMPRESSED: i32 = 1;
/// The message carries several tags.
pub const MULTI_TAGS: i32 = 1 << 1;
/// Both transaction bits.
pub const TRANSACTION: i32 = 3 << 2;
/// A half message of a transaction.
pub const TRANSACTION_PREPARED: i32 = 1 << 2;
/// A message of a committed transaction.
pub const TRANSACTION_COMMIT: i32 = 2 << 2;
/// The record of a rolled back transaction.
pub const TRANSACTION_ROLLBACK: i32 = 3 << 2;
/// The born host is an IPv6 address.
pub const BORN_HOST_V6: i32 = 1 << 4;
/// The store host is an IPv6 address.
pub const STORE_HOST_V6: i32 = 1 << 5;
/// The consumer has to split the body into messages.
pub const NEED_UNWRAP: i32 = 1 << 6;
/// The body is a batch of messages.
pub const INNER_BATCH: i32 = 1 << 7;
/// The bits that name the compression.
pub const COMPRESSION_TYPE: i32 = 7 << 8;

/// How a compressed body was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// LZ4 in its frame format.
    Lz4,
    /// Zstandard.
    Zstd,
    /// zlib (RFC 1950).
    Zlib,
}

impl Compression {
    /// The bits to set in `sysFlag`, next to [`COMPRESSED`].
    pub fn bits(self) -> i32 {
        match self {
            Self::Lz4 => 1 << 8,
            Self::Zstd => 2 << 8,
            Self::Zlib => 3 << 8,
        }
    }
}

/// The compression of a body; `None` when it is not compressed. Old clients leave the type 0, which
/// Java reads as zlib; it does the same with values that it does not know.
pub fn compression(sys_flag: i32) -> Option<Compression> {
    if sys_flag & COMPRESSED == 0 {
        return None;
    }
    Some(match (sys_flag & COMPRESSION_TYPE) >> 8 {
        1 => Compression::Lz4,
        2 => Compression::Zstd,
        _ => Compression::Zlib,
    })
}

/// The transaction bits alone: 0 or one of the `TRANSACTION_*` constants.
pub fn transaction(sys_flag: i32) -> i32 {
    sys_flag & TRANSACTION
}

/// `sys_flag` with its transaction bits replaced by `kind`.
pub fn with_transaction(sys_flag: i32, kind: i32) -> i32 {
    sys_flag & !TRANSACTION | kind
}

/// Whether records with this flag get a place in a queue: half and rolled back ones do not.
pub fn is_queued(sys_flag: i32) -> bool {
    matches!(transaction(sys_flag), 0 | TRANSACTION_COMMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_bits_decide_about_the_queue() {
        assert!(is_queued(COMPRESSED));
        assert!(is_queued(TRANSACTION_COMMIT));
        assert!(!is_queued(TRANSACTION_PREPARED | COMPRESSED));
        assert!(!is_queued(TRANSACTION_ROLLBACK));
        let flag = TRANSACTION_ROLLBACK | COMPRESSED;
        assert_eq!(with_transaction(flag, TRANSACTION_COMMIT), TRANSACTION_COMMIT | COMPRESSED);
    }

    #[test]
    fn type_zero_is_zlib() {
        assert_eq!(compression(0), None);
        assert_eq!(compression(COMPRESSED), Some(Compression::Zlib));
        for kind in [Compression::Lz4, Compression::Zstd, Compression::Zlib] {
            assert_eq!(compression(COMPRESSED | kind.bits()), Some(kind));
        }
    }
}
