//! Enums that travel as Java's constant names.

/// Declares an enum whose variants have Java names, in Java's order.
///
/// They are written as names. They are read from names or, as some clients send them, from ordinals;
/// a name that is not known reads as the default, where Java would have null.
macro_rules! java_names {
    (
        $(#[$about:meta])*
        pub enum $enum:ident { $($(#[$note:meta])* $variant:ident = $name:literal,)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $enum { $($(#[$note])* $variant,)* }

        impl $enum {
            /// All of them, in Java's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Java's name of the constant.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The constant of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.name())
            }
        }

        impl serde::Serialize for $enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $enum {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // Asked for text, the reader also hands over numbers, as their digits.
                let text = String::deserialize(deserializer)?;
                let ordinal = || Self::ALL.get(text.parse::<usize>().ok()?).copied();
                Ok(Self::from_name(&text).or_else(ordinal).unwrap_or_default())
            }
        }
    };
}

pub(super) use java_names;

/// Serde for a language as its Java name.
pub(super) mod language {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::code::Language;

    pub(in crate::body) fn serialize<S: Serializer>(
        value: &Language,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.name())
    }

    pub(in crate::body) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Language, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.parse().map_or_else(|_| Language::from_name(&text), Language))
    }
}
