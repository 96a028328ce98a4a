//! One flipped bit in the log of a stopped store, at random places.
//!
//! What can be seen: Java's record has a CRC of the body only. A flip there is always seen; one in a
//! length, the magic or the physical offset is seen since nothing fits any more; one in the queue, the
//! queue offset or the topic when the record is not where its queue says. A flip in flags, times, hosts,
//! or properties can't be seen by anybody, nor one that leads a record which no checkpoint vouched for to
//! another topic or queue. So `corrupt` means here: a body that is not what was sent.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs,
    os::unix::fs::FileExt,
    path::Path,
    time::Instant,
};

use fastrand::Rng;
use rmq_store::{FlushMode, StoreConfig};
use serde::Serialize;

use crate::{
    history::{Contents, Found, Queue},
    image,
    lab::{config, contents, open},
    message::{Message, key},
};

const FILE: i64 = 16 * 1024;
const MESSAGES: u32 = 60;

/// What came of many flips.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Report {
    /// Whether the store had been closed in order.
    pub clean: bool,
    /// Flips, each of one bit in an untouched copy.
    pub flips: usize,
    /// Flips after which the damaged record was not delivered, by the part of the record that they hit.
    pub unreadable: BTreeMap<&'static str, usize>,
    /// Flips that changed nothing of what is read, likewise.
    pub harmless: BTreeMap<&'static str, usize>,
    /// Delivered bodies that nobody sent.
    pub corrupt: usize,
    /// Flips after which another record than the damaged one was missing or elsewhere.
    pub others: usize,
    /// Flips that made a record unreadable without being counted in the store's status.
    pub uncounted: usize,
    /// Those, and the first of `others`, in words.
    pub examples: Vec<String>,
    /// Time of all openings and readings, ms.
    pub ms: u128,
}

impl Report {
    /// Whether nothing was corrupt, no other record suffered, and all damage was counted.
    pub fn passes(&self) -> bool {
        self.corrupt == 0 && self.others == 0 && self.uncounted == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = if self.clean { "closed store" } else { "crashed store" };
        write!(
            f,
            "{store}: {} flips in {} ms, {} corrupt, {} with loss of another record, {} not counted; \
             damaged record not delivered {:?}; no difference {:?}",
            self.flips, self.ms, self.corrupt, self.others, self.uncounted, self.unreadable, self.harmless
        )?;
        self.examples.iter().try_for_each(|example| write!(f, "\n  {example}"))
    }
}

/// Where a message lies.
#[derive(Debug, Clone)]
struct Placed {
    queue: Queue,
    found: Found,
    end: i64,
    /// Offsets in the record at which its parts begin.
    topic_at: i64,
    properties_at: i64,
}

impl Placed {
    /// The part of the record that a byte belongs to.
    fn part(&self, byte: i64) -> &'static str {
        match byte {
            0..4 => "size",
            4..8 => "magic",
            8..12 => "body CRC",
            12..16 => "queue",
            16..20 => "flag",
            20..28 => "queue offset",
            28..36 => "physical offset",
            36..40 => "system flag",
            40..84 => "times and hosts",
            84..88 => "body length",
            _ if byte < self.topic_at => "body",
            _ if byte < self.properties_at => "topic",
            _ => "properties",
        }
    }
}

fn settings(root: &Path) -> StoreConfig {
    StoreConfig {
        checkpoint_interval_ms: u64::MAX,
        mapped_file_size_commit_log: FILE as u64,
        ..config(root, FlushMode::Async { interval_ms: 10 })
    }
}

/// A store with messages in several files, topics and queues.
fn prepare(root: &Path, clean: bool, random: &mut Rng) -> Vec<Placed> {
    let store = open(settings(root));
    let places = (0..MESSAGES).map(|number| {
        let topic = ["Left", "Right"][random.usize(0..2)];
        let message = Message::new(key(1, number), topic, random.i32(0..3), random.usize(16..1500));
        let place = store.append(message.record()).unwrap_or_else(|error| panic!("{error}"));
        let properties = message.properties();
        let (start, position) = ((place.queue_offset, place.physical_offset), place.physical_offset);
        let end = i64::from(place.size);
        Placed {
            queue: (topic.into(), message.queue),
            found: Found::new(start, &message.body, Some(properties.as_bytes())),
            end: position + end,
            topic_at: 88 + message.body.len() as i64,
            properties_at: end - properties.len() as i64 - 2,
        }
    });
    let places = places.collect();
    if clean {
        store.close();
    }
    places
}

/// Flips `count` bits, one at a time.
///
/// # Panics
/// When the store does not open or can't be read: it always can.
pub fn run(count: usize, clean: bool, seed: u64) -> Report {
    let dir = image::temp_dir();
    let (pristine, root) = (dir.path().join("pristine"), dir.path().join("store"));
    let mut random = Rng::with_seed(seed);
    let placed = prepare(&pristine, clean, &mut random);
    let end = placed.last().map_or(0, |placed| placed.end);
    let mut report = Report { clean, flips: count, ..Report::default() };
    for _ in 0..count {
        let at = random.i64(0..end);
        let bit = random.u8(0..8);
        fs::remove_dir_all(&root).ok();
        image::copy(&pristine, &root);
        flip(&root, at, 1 << bit).expect("a bit can be flipped");
        let started = Instant::now();
        let store = open(settings(&root));
        let found = contents(&store);
        let counted = store.status().damaged_records;
        drop(store);
        report.ms += started.elapsed().as_millis();
        judge(&mut report, &placed, &found, counted, (at, bit));
    }
    report
}

fn flip(root: &Path, at: i64, bits: u8) -> std::io::Result<()> {
    let path = root.join(format!("commitlog/{:020}", at / FILE * FILE));
    let file = fs::File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, (at % FILE) as u64)?;
    file.write_all_at(&[byte[0] ^ bits], (at % FILE) as u64)
}

fn judge(report: &mut Report, placed: &[Placed], contents: &Contents, counted: u64, (at, bit): (i64, u8)) {
    let hit = placed.iter().find(|placed| (placed.found.position..placed.end).contains(&at));
    let part = hit.map_or("blank", |hit| hit.part(at - hit.found.position));
    let by_key: HashMap<_, _> = placed.iter().map(|placed| (placed.found.key, placed)).collect();
    let mut seen = 0;
    let mut delivered = false;
    for (queue, found) in
        contents.iter().flat_map(|(queue, list)| list.iter().map(move |found| (queue, found)))
    {
        match by_key.get(&found.key) {
            Some(known) if known.found.body == found.body => {
                let is_hit = hit.is_some_and(|hit| hit.found.key == found.key);
                delivered |= is_hit;
                seen += usize::from(!is_hit && known.queue == *queue && known.found == *found);
            }
            _ => report.corrupt += 1,
        }
    }
    let others = placed.len() - usize::from(hit.is_some());
    let what = || format!("bit {bit} of byte {at}, {part}: {seen} of {others} others, {counted} counted");
    if seen != others {
        report.others += 1;
        if report.examples.len() < 20 {
            report.examples.push(what());
        }
    }
    if hit.is_some() && !delivered {
        *report.unreadable.entry(part).or_default() += 1;
        // The last record of a crashed store can't be told from one that was being written.
        let is_torn = !report.clean && at >= placed[placed.len() - 1].found.position;
        // With the flag of half messages it counts as one, which belongs into no queue.
        if counted == 0 && !is_torn && part != "system flag" {
            report.uncounted += 1;
            if report.examples.len() < 20 {
                report.examples.push(what());
            }
        }
    } else {
        *report.harmless.entry(part).or_default() += 1;
    }
}
