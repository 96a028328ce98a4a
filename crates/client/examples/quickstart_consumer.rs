//! Consumes `TopicTest` and prints each message, like Java's `org.apache.rocketmq.example.quickstart.Consumer`.
//!
//! `quickstart_consumer [-n name-server] [-c count] [-t topic] [-g group]`; without `-n`, NAMESRV_ADDR counts.
//! With `-c` it ends after so many messages, else with Ctrl-C or SIGTERM.

mod args;

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use args::Args;
use rmq_client::{Consumed, PushConsumer, ReceivedMessage, Result, StartFrom};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

fn main() -> Result<()> {
    let args = Args::parse("please_rename_unique_group_name_4", 0);
    // Java prints the name of the thread that consumes; ours are named alike.
    let (group, number) = (args.group.clone(), AtomicUsize::new(1));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name_fn(move || {
            format!("ConsumeMessageThread_{group}_{}", number.fetch_add(1, Ordering::Relaxed))
        })
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(consume(args)),
        Err(error) => Err(rmq_client::Error::Setting(error.to_string())),
    }
}

async fn consume(args: Args) -> Result<()> {
    let (seen, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let count = args.count;
    let listener = {
        let enough = enough.clone();
        move |messages: Vec<ReceivedMessage>| {
            print(&messages);
            let seen = seen.fetch_add(messages.len(), Ordering::Relaxed) + messages.len();
            if count > 0 && seen >= count {
                enough.notify_one();
            }
            async { Consumed::Success }
        }
    };
    let consumer = PushConsumer::builder(&args.group)
        .options(args.options()?)
        .subscribe(&args.topic, "*")
        .start_from(StartFrom::First)
        .start(listener)
        .await?;
    println!("Consumer Started.");
    tokio::select! {
        () = enough.notified() => {}
        () = asked_to_stop() => {}
    }
    consumer.shutdown().await;
    Ok(())
}

fn print(messages: &[ReceivedMessage]) {
    let mut list = String::new();
    for message in messages {
        let separator = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{separator}{message}");
    }
    let thread = std::thread::current();
    println!("{} Receive New Messages: [{list}] ", thread.name().unwrap_or_default());
}

async fn asked_to_stop() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
