//! Tapes on disk, and how to make a failing one short.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::choice::Choice;
use crate::episode::{Report, Setup, run};

/// Writes a tape as text: a comment that says what it shows, then the numbers.
///
/// # Errors
///
/// When the file can not be written.
pub fn save(path: &Path, comment: &str, tape: &[u64]) -> io::Result<()> {
    let mut text = String::new();
    for line in comment.lines() {
        let _ = writeln!(text, "# {line}");
    }
    for row in tape.chunks(20) {
        let row: Vec<String> = row.iter().map(u64::to_string).collect();
        text.push_str(&row.join(" "));
        text.push('\n');
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

/// Reads a tape.
///
/// # Errors
///
/// When the file can not be read, or holds something else than numbers and comments.
pub fn load(path: &Path) -> io::Result<Vec<u64>> {
    let text = fs::read_to_string(path)?;
    let numbers = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let invalid = |word: &str| {
        let what = format!("{}: {word:?} is not a number of a tape", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    numbers.map(|word| word.parse().map_err(|_| invalid(word))).collect()
}

/// The tapes in a folder, by name.
///
/// # Errors
///
/// When the folder can not be read.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut tapes = paths.collect::<io::Result<Vec<PathBuf>>>()?;
    tapes.retain(|path| path.extension().is_some_and(|end| end == "tape"));
    tapes.sort();
    Ok(tapes)
}

/// Makes a tape shorter and its numbers smaller, as long as the same rule stays broken.
///
/// Passes over the tape remove pieces, from half of it down to single numbers, then lower the numbers that are
/// left; until a pass changes nothing or the time is up.
pub fn shrink(tape: Vec<u64>, setup: Setup, time: Duration) -> (Vec<u64>, Report) {
    let mut report = run(Choice::tape(tape.as_slice()), setup);
    let Some(rule) = report.broken.as_ref().map(|broken| broken.rule) else { return (tape, report) };
    let (mut best, end) = (tape, Instant::now() + time);
    let fails = |candidate: &[u64], report: &mut Report| {
        let tried = run(Choice::tape(candidate), setup);
        let same = tried.broken.as_ref().is_some_and(|broken| broken.rule == rule);
        if same {
            *report = tried;
        }
        same
    };
    loop {
        let before = best.clone();
        let mut piece = best.len().div_ceil(2).max(1);
        while piece > 0 && Instant::now() < end {
            let mut at = 0;
            while at < best.len() && Instant::now() < end {
                let mut candidate = best.clone();
                candidate.drain(at..(at + piece).min(best.len()));
                if fails(&candidate, &mut report) { best = candidate } else { at += piece }
            }
            piece /= 2;
        }
        for at in 0..best.len() {
            for value in [0, best[at] / 2, best[at].saturating_sub(1)] {
                if value < best[at] && Instant::now() < end {
                    let mut candidate = best.clone();
                    candidate[at] = value;
                    if fails(&candidate, &mut report) {
                        best = candidate;
                        break;
                    }
                }
            }
        }
        // What a tape that has run out chooses need not be on it.
        while best.last() == Some(&0) {
            best.pop();
        }
        if best == before || Instant::now() >= end {
            return (best, report);
        }
    }
}
