//! Tapes: what an episode was to be like, and the choices it was made of; in memory and on disk.
//!
//! A tape on disk is text: a comment that says what it shows, what its setup has that is not usual, and the
//! numbers. With another setup the same numbers are another episode, so a tape without its setup would replay
//! something else.
//!
//! ```text
//! # C6 (refusal-right): Send { start: 0, end: 1 } on c0v1 is refused with WriteShutDown, not None
//! engine = kqueue
//! 2 0 0 0 1 0 0 0
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::judge::episode::{Report, Setup, run};
use crate::world::choice::Choice;

/// A tape: an episode that can be played again, cut down, or varied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tape {
    /// What the episode is to be like, beside its choices.
    pub setup: Setup,
    /// The choices.
    pub choices: Vec<u64>,
}

impl Tape {
    /// The tape of an episode that was run.
    pub fn of(report: &Report, setup: Setup) -> Tape {
        Tape { setup, choices: report.tape.clone() }
    }

    /// Plays it.
    pub fn run(&self) -> Report {
        run(Choice::tape(self.choices.as_slice()), self.setup)
    }

    /// How many of its choices are not the simplest: what it takes to make the episode what it is.
    pub fn events(&self) -> usize {
        self.choices.iter().filter(|choice| **choice > 0).count()
    }

    /// Writes it down, with a comment that says what it shows.
    ///
    /// # Errors
    ///
    /// When the file can not be written.
    pub fn save(&self, path: &Path, comment: &str) -> io::Result<()> {
        let mut text = String::new();
        for line in comment.lines() {
            let _ = writeln!(text, "# {line}");
        }
        if let Some(engine) = self.setup.engine {
            let _ = writeln!(text, "engine = {engine}");
        }
        if self.setup.actions_max != Setup::default().actions_max {
            let _ = writeln!(text, "actions_max = {}", self.setup.actions_max);
        }
        for row in self.choices.chunks(20) {
            let row: Vec<String> = row.iter().map(u64::to_string).collect();
            text.push_str(&row.join(" "));
            text.push('\n');
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)
    }

    /// Reads one. What it does not say of its setup is as usual.
    ///
    /// # Errors
    ///
    /// When the file can not be read, or holds something else than comments, a setup and numbers.
    pub fn load(path: &Path) -> io::Result<Tape> {
        let invalid = |what: &str| {
            let what = format!("{}: {what:?} does not belong on a tape", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let mut tape = Tape::default();
        for line in fs::read_to_string(path)?.lines().filter(|line| !line.starts_with('#')) {
            if let Some((key, value)) = line.split_once('=') {
                match (key.trim(), value.trim()) {
                    ("engine", name) => tape.setup.engine = Some(name.parse().map_err(|_| invalid(line))?),
                    ("actions_max", count) => {
                        tape.setup.actions_max = count.parse().map_err(|_| invalid(line))?;
                    }
                    _ => return Err(invalid(line)),
                }
            } else {
                let numbers = line.split_whitespace().map(|word| word.parse().map_err(|_| invalid(word)));
                tape.choices.append(&mut numbers.collect::<io::Result<_>>()?);
            }
        }
        Ok(tape)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::engine::EngineKind;

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("aio-tape-{}-{name}", std::process::id()))
    }

    /// The same numbers are another episode with another engine, so a tape has its own with it.
    #[test]
    fn a_tape_is_played_with_the_setup_that_it_was_made_with() {
        let path = file("engines");
        let engines = EngineKind::ALL.iter().map(|engine| Some(*engine)).chain([None]);
        for (engine, actions_max) in engines.flat_map(|engine| [(engine, 600), (engine, 40)]) {
            let setup = Setup { engine, actions_max, verbose: false };
            let report = run(Choice::seeded(3), setup);
            Tape::of(&report, setup).save(&path, "a comment\nof = two lines").unwrap();
            let tape = Tape::load(&path).unwrap();
            assert_eq!(tape, Tape::of(&report, setup));
            assert_eq!(tape.run().fingerprint, report.fingerprint, "{setup:?}");
            // The engine is a choice if it is not given: without it every number is another choice.
            let unlike = Tape { setup: Setup::default(), ..tape }.run();
            assert_eq!(unlike.fingerprint == report.fingerprint, engine.is_none(), "{setup:?}");
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_not_a_tape_is_refused_and_an_old_one_is_read() {
        let path = file("words");
        let load = |text: &str| {
            fs::write(&path, text).unwrap();
            Tape::load(&path).map_err(|error| error.kind())
        };
        assert_eq!(load("# engine = poll\n1 2\n3\n").unwrap().choices, [1, 2, 3]);
        assert_eq!(load("# engine = poll\n1 2\n3\n").unwrap().setup, Setup::default());
        for text in ["engine = iocp", "engine kqueue", "motor = kqueue", "actions_max = many", "1 2 x", "-1"]
        {
            assert_eq!(load(text), Err(io::ErrorKind::InvalidData), "{text}");
        }
        fs::remove_file(&path).unwrap();
    }
}
