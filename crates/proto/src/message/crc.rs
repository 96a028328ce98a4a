//! The 31-bit CRC of message bodies and its form as a property.

/// CRC-32 without its sign bit: Java masks it so that it fits a non-negative `int`.
pub fn crc31(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes) & 0x7FFF_FFFF
}

/// Length of the property that [`crc_property`] makes.
pub const CRC_PROPERTY_LEN: usize = 20;

/// The `__CRC32#` property, separators included. Java writes the ten decimal digits with the least
/// significant first and pads with zeros on the right.
pub fn crc_property(crc: u32) -> [u8; CRC_PROPERTY_LEN] {
    let mut out = *b"__CRC32#\x010000000000\x02";
    let mut rest = crc;
    for digit in &mut out[9..19] {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_and_its_property_are_those_of_java() {
        assert_eq!(crc31(b"hello"), 907060870);
        assert_eq!(&crc_property(907060870), b"__CRC32#\x010780607090\x02");
    }
}
