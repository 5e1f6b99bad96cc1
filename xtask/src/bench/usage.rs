//! What processes take of the machine, as Linux tells it in `/proc`.

use std::fs;

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// Looks at a family of processes: it is looked at again when somebody left meanwhile.
const LOOKS_MAX: usize = 5;

/// What matters of `/proc/<id>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Ticks of the process itself, all its threads included.
    own: u64,
    /// Ticks of its children that have ended and were waited for.
    reaped: u64,
}

/// The only child of the process `parent`: the program under a guard.
pub(super) fn child_of(parent: u32) -> Result<u32> {
    children(parent).first().map(|(id, _)| *id).with_context(|| format!("process {parent} has no child"))
}

/// The processor time that the process `id` took so far, without its children.
pub(super) fn processor_us(id: u32) -> Result<u64> {
    Ok(micros(stat(id)?.own))
}

/// The processor time that the process `id` and all children that it ever had took so far.
pub(super) fn family_processor_us(id: u32) -> Result<u64> {
    // A child that ends between the two looks would be counted twice or not at all.
    let mut before = stat(id)?;
    for _ in 0..LOOKS_MAX {
        let living: u64 = children(id).iter().map(|(_, stat)| stat.own + stat.reaped).sum();
        let after = stat(id)?;
        if after.reaped == before.reaped {
            return Ok(micros(after.own + after.reaped + living));
        }
        before = after;
    }
    Ok(micros(before.own + before.reaped))
}

/// The processor time of our own children that have ended.
pub(super) fn reaped_us() -> Result<u64> {
    Ok(micros(stat(std::process::id())?.reaped))
}

/// The most memory that the process `id` had at a time.
pub(super) fn peak_kib(id: u32) -> Result<u64> {
    status(id, "VmHWM:")
}

/// The memory that the process `id` has now.
pub(super) fn resident_kib(id: u32) -> Result<u64> {
    status(id, "VmRSS:")
}

/// The threads that the process `id` has now.
pub(super) fn threads(id: u32) -> Result<u64> {
    status(id, "Threads:")
}

/// The memory that the process `id` and its living children have now; what they share counts once.
pub(super) fn family_kib(id: u32) -> Result<u64> {
    let ids = std::iter::once(id).chain(children(id).into_iter().map(|(id, _)| id));
    let mut total = 0;
    for id in ids {
        // Who has ended has none.
        if let Ok(text) = fs::read_to_string(format!("/proc/{id}/smaps_rollup")) {
            total += field(&text, "Pss:").context("smaps_rollup without Pss")?;
        }
    }
    Ok(total)
}

fn status(id: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    field(&text, name).with_context(|| format!("{path} without {name}"))
}

fn stat(id: u32) -> Result<Stat> {
    let path = format!("/proc/{id}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse(&text).with_context(|| format!("cannot understand {path}"))
}

fn children(parent: u32) -> Vec<(u32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| Some((id, stat(id).ok()?))).filter(|(_, stat)| stat.parent == parent).collect()
}

/// The name, second, is in brackets and may have anything in it: the fields are counted from its end.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |place: usize| fields.get(place - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(4)?).ok()?,
        own: number(14)? + number(15)?,
        reaped: number(16)? + number(17)?,
    })
}

/// The number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn micros(ticks: u64) -> u64 {
    ticks * 1_000_000 / clock_ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::{Stat, field, parse};

    #[test]
    fn the_times_are_found_behind_any_name() {
        let text = "17 (a) b (c) S 4 17 17 0 -1 4194560 1 2 3 4 100 20 7 3 20 0 1 0 99 1 2";
        assert_eq!(parse(text), Some(Stat { parent: 4, own: 120, reaped: 10 }));
        assert_eq!(parse("17 (a) S 4"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_field_is_the_number_behind_its_name() {
        let text = "VmPeak:\t   999 kB\nVmHWM:\t  1234 kB\n";
        assert_eq!(field(text, "VmHWM:"), Some(1234));
        assert_eq!(field(text, "Pss:"), None);
    }
}
