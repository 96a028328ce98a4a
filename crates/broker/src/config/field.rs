//! One row of the configuration table: how a key is read, printed, checked and changed.

use super::BrokerConfig;

/// A type that a configuration value can have.
pub(super) trait Value: Sized {
    /// What is allowed, for the error message.
    const ALLOWED: &'static str;
    fn parse(text: &str) -> Option<Self>;
    fn print(&self) -> String;
}

impl Value for i32 {
    const ALLOWED: &'static str = "a whole number";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl Value for i64 {
    const ALLOWED: &'static str = "a whole number";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

/// Java reads everything but "true" as false; a typing error must not switch something off.
impl Value for bool {
    const ALLOWED: &'static str = "true or false";
    fn parse(text: &str) -> Option<Self> {
        text.to_ascii_lowercase().parse().ok()
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const ALLOWED: &'static str = "text";
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    fn print(&self) -> String {
        self.clone()
    }
}

/// Declares a choice of names, as Java's enums are written in a configuration file.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $text:literal),+ $(,)? } allowed $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$item_doc])* $item),+ }

        impl Value for $name {
            const ALLOWED: &'static str = $allowed;
            fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$item),)+ _ => None }
            }
            fn print(&self) -> String {
                match self { $(Self::$item => $text),+ }.to_owned()
            }
        }
    };
}

choice! {
    /// What this broker is to the others of its name.
    BrokerRole {
        /// A master that does not wait for its slaves.
        AsyncMaster = "ASYNC_MASTER",
        /// A master that waits for its slaves.
        SyncMaster = "SYNC_MASTER",
        /// A copy of a master.
        Slave = "SLAVE",
    } allowed "ASYNC_MASTER, SYNC_MASTER or SLAVE"
}

choice! {
    /// When a stored message is answered.
    FlushDiskType {
        /// After it is in the page cache; flushed twice a second.
        AsyncFlush = "ASYNC_FLUSH",
        /// After it is on the disk.
        SyncFlush = "SYNC_FLUSH",
    } allowed "ASYNC_FLUSH or SYNC_FLUSH"
}

/// One configuration key.
#[derive(Clone, Copy)]
pub struct Field {
    /// The key as Java spells it.
    pub key: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Printed by `-m`.
    pub important: bool,
    /// May be changed while the broker runs.
    pub live: bool,
    range: Option<(i64, i64)>,
    allowed: &'static str,
    get: fn(&BrokerConfig) -> String,
    set: fn(&mut BrokerConfig, &str) -> bool,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.key)
    }
}

impl Field {
    pub(super) const fn new(
        key: &'static str,
        meaning: &'static str,
        allowed: &'static str,
        get: fn(&BrokerConfig) -> String,
        set: fn(&mut BrokerConfig, &str) -> bool,
    ) -> Self {
        Self { key, meaning, important: false, live: false, range: None, allowed, get, set }
    }

    pub(super) const fn important(self) -> Self {
        Self { important: true, ..self }
    }

    pub(super) const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    pub(super) const fn range(self, least: i64, most: i64) -> Self {
        Self { range: Some((least, most)), ..self }
    }

    pub(super) const fn at_least(self, least: i64) -> Self {
        self.range(least, i64::MAX)
    }

    /// The value in the form in which a file holds it.
    pub fn value(&self, config: &BrokerConfig) -> String {
        (self.get)(config)
    }

    /// Sets the value, or says what is allowed.
    pub(super) fn assign(&self, config: &mut BrokerConfig, text: &str) -> Result<(), String> {
        let text = text.trim();
        let in_range = match self.range {
            Some((least, most)) => text.parse().is_ok_and(|number: i64| (least..=most).contains(&number)),
            None => true,
        };
        if in_range && (self.set)(config, text) { Ok(()) } else { Err(self.allowed()) }
    }

    /// What values are allowed, in words.
    pub fn allowed(&self) -> String {
        match self.range {
            Some((least, i64::MAX)) => format!("{} of at least {least}", self.allowed),
            Some((least, most)) => format!("{} from {least} to {most}", self.allowed),
            None => self.allowed.to_owned(),
        }
    }
}
