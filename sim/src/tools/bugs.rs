//! Seeded bugs: the model broken on purpose, one patch at a time, to see whether the simulator notices.
//!
//! Each patch under `sim/bugs/` is applied to a copy of the workspace, which is built and run from several
//! seeds. A bug that is not found from every one of them is a hole in the simulator.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use serde::Serialize;

use crate::tools::summary::{Failure, Summary};

/// How many events a tape may have to be short: so many choices that are not the simplest can be read.
pub const EVENTS_MAX: usize = 25;

/// What came of one bug.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Hunt {
    /// The name of the patch.
    pub name: String,
    /// From how many seeds it was found.
    pub found: usize,
    /// From how many it was looked for.
    pub seeds: usize,
    /// How many seconds that took, fewest first, of those that found it.
    pub seconds: Vec<f64>,
    /// How many steps that took, fewest first: what does not depend on what else the machine does.
    pub steps: Vec<u64>,
    /// What was found from the first seed, and how short its tape became.
    pub failing: Option<Failure>,
}

impl Hunt {
    /// The median of the seconds to find it.
    pub fn median(&self) -> f64 {
        self.seconds.get(self.seconds.len() / 2).copied().unwrap_or_default()
    }

    /// The most seconds to find it.
    pub fn worst(&self) -> f64 {
        self.seconds.last().copied().unwrap_or_default()
    }

    /// The median of the steps to find it.
    pub fn median_steps(&self) -> u64 {
        self.steps.get(self.steps.len() / 2).copied().unwrap_or_default()
    }

    /// The most steps to find it.
    pub fn worst_steps(&self) -> u64 {
        self.steps.last().copied().unwrap_or_default()
    }

    /// Whether it was found from every seed.
    pub fn is_found(&self) -> bool {
        self.found == self.seeds
    }

    /// Whether its tape is short enough to be read.
    pub fn is_short(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| failing.events <= EVENTS_MAX)
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

/// Patches with a defect, and what is to be said of each: one that does not apply, one that does not compile.
const CANARIES: [(&str, &str); 2] = [
    ("--- a/sim/absent.rs\n+++ b/sim/absent.rs\n@@ -1 +1 @@\n-before\n+after\n", "does not apply any more"),
    (
        "--- /dev/null\n+++ b/aio-model/build.rs\n@@ -0,0 +1 @@\n+compile_error!(\"the canary\");\n",
        "the canary",
    ),
];

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

    /// Applies a patch, looks for the bug from `seeds` seeds, each for up to `steps` steps, and takes it
    /// back. The tape of the first seed is made short and kept, if it is to `shrink`.
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

    /// Whether a patch applies, and what it makes compiles: `None`, or why not.
    ///
    /// # Errors
    ///
    /// When the patch can not be taken back.
    pub fn defect(&self, patch: &Path) -> io::Result<Option<String>> {
        if let Err(error) = self.apply(patch, &[]) {
            return Ok(Some(error.to_string()));
        }
        let compiled = self.compile();
        self.apply(patch, &["-R"])?;
        Ok(compiled.err().map(|error| error.to_string()))
    }

    /// Proves that [`Copy::defect`] finds a patch that does not apply and one that does not compile.
    ///
    /// # Errors
    ///
    /// When one of them is not found, or the copy does not compile without a patch.
    pub fn prove_defects_are_found(&self) -> io::Result<()> {
        self.compile()?;
        for (text, expected) in CANARIES {
            let patch = self.copy.join("canary.patch");
            fs::write(&patch, text)?;
            let found = self.defect(&patch)?.unwrap_or_else(|| "nothing".to_owned());
            if !found.contains(expected) {
                return Err(io::Error::other(format!("expected to find {expected:?}, found {found}")));
            }
        }
        Ok(())
    }

    fn compile(&self) -> io::Result<()> {
        let mut cargo = Command::new("cargo");
        cargo.args(["check", "--quiet", "--offline", "-p", "sim", "--bin", "sim", "--target-dir"]);
        cargo.arg(self.root.join("target/bugs")).current_dir(&self.copy);
        succeed(&mut cargo, || "it does not compile".to_owned())
    }

    fn apply(&self, patch: &Path, options: &[&str]) -> io::Result<()> {
        let mut git = Command::new("git");
        git.arg("apply").args(options).arg(patch).current_dir(&self.copy);
        succeed(&mut git, || format!("{} does not apply any more", patch.display()))
    }

    fn build(&self) -> io::Result<PathBuf> {
        let target = self.root.join("target/bugs");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--offline", "--profile", "sim", "-p", "sim"]);
        // A build for each patch: one that translates only what the patch changes takes a fifth of the time.
        for setting in ["lto=false", "incremental=true", "codegen-units=64"] {
            cargo.arg("--config").arg(format!("profile.sim.{setting}"));
        }
        cargo.arg("--target-dir").arg(&target).current_dir(&self.copy);
        succeed(&mut cargo, || "the broken copy does not build".to_owned())?;
        Ok(target.join("sim/sim"))
    }

    /// Keeps the tape of a bug: on a model without the bug it passes, and so pins it.
    fn keep_tape(&self, tape: &Path, name: &str) -> io::Result<()> {
        let kept = self.root.join("target/tapes");
        fs::create_dir_all(&kept)?;
        fs::copy(self.copy.join(tape), kept.join(name).with_extension("tape")).map(drop)
    }

    fn look(&self, program: &Path, name: String, seeds: usize, steps: u64, shrink: bool) -> io::Result<Hunt> {
        let (seconds, steps_taken) = (Vec::new(), Vec::new());
        let mut hunt = Hunt { name, found: 0, seeds, seconds, steps: steps_taken, failing: None };
        for seed in 1..=seeds {
            let mut sim = Command::new(program);
            sim.args(["run", "--json", "--steps", &steps.to_string(), "--seed", &seed.to_string()]);
            if seed > 1 || !shrink {
                sim.arg("--no-shrink");
            }
            let run = sim.current_dir(&self.copy).stdin(Stdio::null()).output()?;
            let summary: Summary = serde_json::from_slice(&run.stdout).map_err(|error| {
                let said = String::from_utf8_lossy(&run.stderr);
                io::Error::other(format!("{}, seed {seed}: {error}; it says:\n{said}", hunt.name))
            })?;
            let Some(failing) = summary.failure else { continue };
            hunt.found += 1;
            hunt.seconds.push(summary.seconds);
            hunt.steps.push(summary.steps);
            if seed == 1 {
                self.keep_tape(&failing.tape, &hunt.name)?;
                hunt.failing = Some(failing);
            }
        }
        hunt.seconds.sort_by(f64::total_cmp);
        hunt.steps.sort_unstable();
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
