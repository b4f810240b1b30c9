//! No test is left out: a program that is built without its tests (`test = false`) has none.

use std::path::Path;

use crate::metadata::{MANIFESTS, packages};
use crate::sources::{after, code, read};

/// Whether the code of a program has a test.
fn has_test(code: &str) -> bool {
    code.contains("#[test]") || code.contains("#[cfg(test)]")
}

/// The code of a program: its file, and the modules beside it that the file declares.
fn code_of(source: &Path) -> String {
    let main = code(&read(source));
    let mut all = main.clone();
    for rest in after(&main, "mod") {
        let name: String = rest
            .trim_start()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect();
        let module = source.with_file_name(name).with_extension("rs");
        if rest.trim_start().contains(';') && module.exists() {
            all += &code(&read(&module));
        }
    }
    all
}

#[test]
fn programs_without_tests_have_none() {
    let mut programs = 0;
    for manifest in MANIFESTS {
        let targets = packages(manifest).into_iter().flat_map(|package| package.targets);
        for target in targets.filter(|target| !target.test && target.kind.iter().any(|kind| kind == "bin")) {
            programs += 1;
            let source = target.src_path;
            assert!(!has_test(&code_of(&source)), "{}: its tests are not run", source.display());
        }
    }
    assert!(programs > 10, "the programs are found: {programs}");
}

#[test]
fn a_test_that_is_left_out_is_found() {
    assert!(has_test("fn main() {}\n#[test]\nfn a_test() {}"));
    assert!(has_test("#[cfg(test)]\nmod tests;"));
    assert!(!has_test("fn main() {}"));
    let program = crate::sources::root().join("sim/src/tools/main.rs");
    assert!(code_of(&program).len() > code(&read(&program)).len(), "it has a module of its own");
}
