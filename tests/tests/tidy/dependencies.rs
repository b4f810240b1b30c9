//! Every dependency of a crate is named in its sources: a normal one in the library or a program, one for
//! tests anywhere, one for building in the build script. A tool for this would have to be compiled first, for
//! longer than all of the other tests take.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::metadata::{Dependency, MANIFESTS, Package, Target, packages};
use crate::sources::{after, code, files, read, root};

/// Entries of the workspace's table that no crate refers to yet. An entry here that is used, or gone from the
/// table, is an error.
const UNDECIDED: &[&str] = &[];

/// The code of a target: its file, and those in its folder, where its modules are.
fn code_of(source: &Path) -> String {
    if source.ends_with("build.rs") {
        return code(&read(source));
    }
    let folder = source.parent().expect("a file is in a folder");
    files(folder, "rs").iter().map(|file| code(&read(file))).collect()
}

/// Whether code names a crate: in a path, or as all that is imported.
fn uses(code: &str, name: &str) -> bool {
    after(code, name).any(|rest| rest.trim_start().starts_with("::"))
        || after(code, "use")
            .any(|rest| after(rest, name).next().is_some() && rest.trim_start().starts_with(name))
}

/// The dependencies that no target names which may use them.
fn unused(package: &Package, code_of: impl Fn(&Path) -> String) -> Vec<String> {
    let is_used = |dependency: &&Dependency| {
        let name = dependency.name_in_code();
        let of_kind = |target: &&Target| target.kind.iter().any(|kind| dependency.is_for(kind));
        package.targets.iter().filter(of_kind).any(|target| uses(&code_of(&target.src_path), &name))
    };
    let unused = package.dependencies.iter().filter(|dependency| !is_used(dependency));
    unused.map(|dependency| format!("{} does not use {}", package.name, dependency.name)).collect()
}

/// The names in the table `[workspace.dependencies]` of a manifest.
fn shared(manifest: &str) -> BTreeSet<&str> {
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let lines = table.lines().skip(1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect()
}

#[test]
fn every_dependency_is_used() {
    let (mut found, mut seen) = (Vec::new(), 0);
    for manifest in MANIFESTS {
        for package in packages(manifest) {
            seen += package.dependencies.len();
            found.extend(unused(&package, code_of));
        }
    }
    assert!(seen > 50, "the dependencies are found: {seen}");
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_shared_dependency_is_used() {
    let manifest = read(&root().join("Cargo.toml"));
    let shared = shared(&manifest);
    assert!(shared.len() > 10, "the table is found: {shared:?}");
    let packages = packages("Cargo.toml");
    let used: BTreeSet<&str> = packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| &*dependency.name)
        .collect();
    let unused: Vec<&str> = shared.difference(&used).copied().collect();
    assert_eq!(unused, UNDECIDED, "what the workspace's table has and no crate uses, against UNDECIDED");
}

#[test]
fn an_unused_dependency_is_found() {
    let dependency = |kind: Option<&str>| Dependency {
        name: "some-crate".to_owned(),
        rename: None,
        kind: kind.map(ToOwned::to_owned),
    };
    let target =
        |kind: &str| Target { kind: vec![kind.to_owned()], src_path: PathBuf::from(kind), test: true };
    for (kind, used_in, code, is_used) in [
        (None, "lib", "use some_crate::Name;", true),
        (None, "bin", "fn main() { some_crate::run() }", true),
        (None, "lib", "pub use some_crate as other;", true),
        (None, "lib", "use {some_crate::Name, std::fmt};", true),
        (None, "lib", "use some_crates::Name;", false),
        (None, "lib", "fn awesome_crate() {}", false),
        (None, "lib", "let some_crate = awesome_crate::new();", false),
        (None, "test", "use some_crate::Name;", false),
        (Some("dev"), "test", "use some_crate::Name;", true),
        (Some("dev"), "custom-build", "use some_crate::Name;", false),
        (Some("build"), "custom-build", "use some_crate::Name;", true),
        (Some("build"), "lib", "use some_crate::Name;", false),
    ] {
        let package = Package {
            name: "user".to_owned(),
            dependencies: vec![dependency(kind)],
            targets: ["lib", "bin", "test", "custom-build"].map(target).into(),
        };
        let found =
            unused(&package, |path| if path.ends_with(used_in) { code.to_owned() } else { String::new() });
        assert_eq!(found.is_empty(), is_used, "{kind:?} {used_in}: {code}");
    }
    assert_eq!(code("use a::B;\n    // use c::D;\n//! e::f"), "use a::B;");
    let names = shared("[workspace.dependencies]\na = 1\n\nb-c = { x = 2 }\n[profile]\nd = 3");
    assert_eq!(names, BTreeSet::from(["a", "b-c"]));
}
