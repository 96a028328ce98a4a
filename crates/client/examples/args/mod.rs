//! The arguments that the examples share.
#![allow(dead_code, reason = "not every example uses all of them")]

use rmq_client::{InstanceOptions, Result};

pub(crate) struct Args {
    pub(crate) name_servers: Option<String>,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) count: usize,
}

impl Args {
    /// Reads the command line; a wrong one ends the program with code 2.
    pub(crate) fn parse(group: &str, count: usize) -> Self {
        let mut args = Self { name_servers: None, topic: "TopicTest".into(), group: group.into(), count };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| usage(&format!("{word} wants a value")));
            match word.as_str() {
                "-n" => args.name_servers = Some(value()),
                "-t" => args.topic = value(),
                "-g" => args.group = value(),
                "-c" => {
                    let number = value();
                    args.count =
                        number.parse().unwrap_or_else(|_| usage(&format!("`{number}` is not a count")));
                }
                "-h" | "--help" => usage(""),
                _ => usage(&format!("unknown argument {word}")),
            }
        }
        args
    }

    /// The name servers given, or those of NAMESRV_ADDR.
    pub(crate) fn options(&self) -> Result<InstanceOptions> {
        match &self.name_servers {
            Some(name_servers) => Ok(InstanceOptions::new(name_servers)),
            None => InstanceOptions::from_env(),
        }
    }
}

fn usage(problem: &str) -> ! {
    if !problem.is_empty() {
        eprintln!("{problem}");
    }
    eprintln!("usage: [-n host:port[;host:port]] [-t topic] [-g group] [-c count]");
    std::process::exit(2);
}
