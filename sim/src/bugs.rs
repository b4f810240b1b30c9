//! Seeded bugs: the model broken on purpose, one patch at a time, to see whether the simulator notices.
//!
//! Each patch under `sim/bugs/` is applied to a copy of the workspace, which is built and run from several
//! seeds. A bug that is not found from every one of them is a hole in the simulator.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

/// What came of one bug.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Hunt {
    /// The name of the patch.
    pub name: String,
    /// From how many seeds it was found.
    pub found: usize,
    /// From how many it was looked for.
    pub seeds: usize,
    /// How long that took, shortest first, of those that found it.
    pub times: Vec<Duration>,
    /// The rule that was seen broken, from the first seed.
    pub rule: String,
    /// How many choices the shortest tape from the first seed has.
    pub choices: Option<usize>,
}

impl Hunt {
    /// The median time to find it.
    pub fn median(&self) -> Duration {
        self.times.get(self.times.len() / 2).copied().unwrap_or_default()
    }

    /// The longest time to find it.
    pub fn worst(&self) -> Duration {
        self.times.last().copied().unwrap_or_default()
    }
}

/// A copy of the workspace to break.
#[derive(Debug)]
pub struct Copy {
    root: PathBuf,
    copy: PathBuf,
}

/// What a copy needs of the workspace.
const PARTS: &[&str] = &["Cargo.toml", "Cargo.lock", "aio-model", "aio-sys", "aio", "sim", "tests"];

impl Copy {
    /// Copies the workspace that this program was built from.
    ///
    /// # Errors
    ///
    /// When it can not be read, or the copy not be written.
    pub fn new() -> io::Result<Copy> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let copy = std::env::temp_dir().join(format!("aio-bugs-{}", std::process::id()));
        fs::create_dir_all(&copy)?;
        for part in PARTS {
            copy_all(&root.join(part), &copy.join(part))?;
        }
        Ok(Copy { root, copy })
    }

    /// The patches, by name: those whose names contain any of `wanted`, or all, if nothing is.
    ///
    /// # Errors
    ///
    /// When the folder can not be read, or no patch fits.
    pub fn patches(&self, wanted: &[String]) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.root.join("sim/bugs"))?;
        let mut patches: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        let is_wanted =
            |path: &Path| wanted.is_empty() || wanted.iter().any(|part| name(path).contains(part));
        patches.retain(|path| path.extension() == Some(OsStr::new("patch")) && is_wanted(path));
        patches.sort();
        if patches.is_empty() {
            return Err(io::Error::other(format!(
                "no patch under sim/bugs has any of {wanted:?} in its name"
            )));
        }
        Ok(patches)
    }

    /// Applies a patch, looks for the bug from `seeds` seeds, each for up to `steps` steps, and takes it back. The
    /// tape of the first seed is made short and kept, if it is to `shrink`.
    ///
    /// # Errors
    ///
    /// When the patch does not apply, or what it makes does not build.
    pub fn hunt(&self, patch: &Path, seeds: usize, steps: u64, shrink: bool) -> io::Result<Hunt> {
        self.apply(patch, &[])?;
        let hunted = self.build().and_then(|program| self.look(&program, name(patch), seeds, steps, shrink));
        self.apply(patch, &["-R"])?;
        hunted
    }

    fn apply(&self, patch: &Path, options: &[&str]) -> io::Result<()> {
        let mut git = Command::new("git");
        git.arg("apply").args(options).arg(patch).current_dir(&self.copy);
        succeed(&mut git, || format!("{} does not apply any more", patch.display()))
    }

    fn build(&self) -> io::Result<PathBuf> {
        let target = self.root.join("target/bugs");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--offline", "--profile", "sim", "-p", "sim", "--config"]);
        // A build for each patch: without link-time optimization it takes half the time.
        cargo.arg("profile.sim.lto=false").arg("--target-dir").arg(&target).current_dir(&self.copy);
        succeed(&mut cargo, || "the broken copy does not build".to_owned())?;
        Ok(target.join("sim/sim"))
    }

    /// Keeps the tape of a bug: on a model without the bug it passes, and so pins it.
    fn keep_tape(&self, tapes: &Path, name: &str) -> io::Result<()> {
        let kept = self.root.join("target/tapes");
        fs::create_dir_all(&kept)?;
        for tape in fs::read_dir(tapes)? {
            fs::copy(tape?.path(), kept.join(name).with_extension("tape"))?;
        }
        Ok(())
    }

    fn look(&self, program: &Path, name: String, seeds: usize, steps: u64, shrink: bool) -> io::Result<Hunt> {
        let mut hunt = Hunt { name, found: 0, seeds, times: Vec::new(), rule: String::new(), choices: None };
        for seed in 0..seeds {
            let tapes = self.copy.join("target/tapes");
            let _ = fs::remove_dir_all(&tapes);
            let mut sim = Command::new(program);
            sim.args(["run", "--steps", &steps.to_string(), "--seed", &(seed + 1).to_string()]);
            if seed > 0 || !shrink {
                sim.arg("--no-shrink");
            }
            let start = Instant::now();
            let run = sim.current_dir(&self.copy).stdin(Stdio::null()).output()?;
            if run.status.success() {
                continue;
            }
            hunt.found += 1;
            let said = String::from_utf8_lossy(&run.stdout);
            hunt.times.push(figure(&said, "found after ").map_or(start.elapsed(), Duration::from_secs_f64));
            if seed == 0 {
                self.keep_tape(&tapes, &hunt.name)?;
                let said = String::from_utf8_lossy(&run.stderr);
                hunt.rule = said.split(':').next().unwrap_or_default().trim().to_owned();
                hunt.choices =
                    said.split("steps; ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
            }
        }
        hunt.times.sort();
        Ok(hunt)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Left behind, it is a folder of temporary files; nothing depends on it.
        let _ = fs::remove_dir_all(&self.copy);
    }
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The number behind `label`.
fn figure(text: &str, label: &str) -> Option<f64> {
    text.split(label).nth(1)?.split(' ').next()?.parse().ok()
}

fn succeed(command: &mut Command, otherwise: impl FnOnce() -> String) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{}:\n{said}", otherwise())))
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
