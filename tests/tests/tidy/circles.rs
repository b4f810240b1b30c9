//! The modules of a library import each other in one direction: none of them, by whatever way, itself.
//! What lies together in a folder is one module here.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{comment, files, read, root};

/// The crates that this holds for. The simulator's folders have a stricter rule of their own.
const CRATES: [&str; 2] = ["aio-model", "aio-sys"];

type Imports = BTreeMap<String, BTreeSet<String>>;

/// The modules that a text names by a path from the root of its crate, its tests left out.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.lines().filter(|line| comment(line).is_none());
    let paths = code.flat_map(|line| line.split("crate::").skip(1));
    let first = |path: &str| {
        path.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or("").to_owned()
    };
    paths.map(first).filter(|name| !name.is_empty()).collect()
}

/// A way from a module back to itself, if there is one.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    fn search(imports: &Imports, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let here = way.last().expect("it begins somewhere").clone();
        for next in imports.get(&here).into_iter().flatten() {
            if let Some(at) = way.iter().position(|module| module == next) {
                way.drain(..at);
                way.push(next.clone());
                return true;
            }
            if !done.contains(next) {
                way.push(next.clone());
                if search(imports, way, done) {
                    return true;
                }
                way.pop();
            }
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| {
        let mut way = vec![module.clone()];
        (!done.contains(module) && search(imports, &mut way, &mut done)).then_some(way)
    })
}

#[test]
fn no_module_imports_itself_by_way_of_others() {
    for name in CRATES {
        let folder = root().join(name).join("src");
        let (mut all, mut seen) = (Imports::new(), 0);
        for path in files(&folder, "rs") {
            let inside =
                path.strip_prefix(&folder).expect("it was found there").to_string_lossy().into_owned();
            let module = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
            let is_test = inside.contains("tests") || inside.contains("canaries");
            if module == "lib" || is_test {
                continue;
            }
            let mut found = imports(&read(&path));
            found.remove(&module);
            seen += found.len();
            all.entry(module).or_default().extend(found);
        }
        assert!(seen > all.len() / 2, "{name}: {seen} imports in {} modules", all.len());
        assert_eq!(circle(&all), None, "{name}");
    }
}

#[test]
fn a_circle_is_found_and_what_tests_and_comments_name_is_not() {
    let text = "use crate::b::X;\n/// crate::c::Y\nfn f() -> crate::d_e::Z {}\n#[cfg(test)]\nmod tests {\nuse crate::f::T;";
    assert_eq!(imports(text), ["b", "d_e"].map(str::to_owned).into());
    let of = |edges: &[(&str, &str)]| {
        let mut all = Imports::new();
        for (from, to) in edges {
            all.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        circle(&all)
    };
    assert_eq!(of(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")]), None);
    let found = of(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")]);
    assert_eq!(found, Some(["b", "c", "d", "b"].map(str::to_owned).into()));
}
