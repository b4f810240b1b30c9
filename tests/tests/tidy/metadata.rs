//! What cargo knows of the workspaces.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::sources::root;

/// Of the three workspaces.
pub(crate) const MANIFESTS: [&str; 3] = ["Cargo.toml", "bench/Cargo.toml", "fuzz/Cargo.toml"];

#[derive(Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) rename: Option<String>,
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
    pub(crate) test: bool,
}

impl Dependency {
    /// How code calls it.
    pub(crate) fn name_in_code(&self) -> String {
        self.rename.as_ref().unwrap_or(&self.name).replace('-', "_")
    }

    /// Whether a target of this kind may use it.
    pub(crate) fn is_for(&self, kind: &str) -> bool {
        match self.kind.as_deref() {
            Some("build") => kind == "custom-build",
            Some("dev") => kind != "custom-build",
            _ => !["custom-build", "test", "bench", "example"].contains(&kind),
        }
    }
}

pub(crate) fn packages(manifest: &str) -> Vec<Package> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"]);
    let output = cargo.arg(root().join(manifest)).output().expect("cargo can be started");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{manifest}: {error}");
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("cargo prints what it documents");
    metadata.packages
}
