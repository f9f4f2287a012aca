//! The rooms of the library: no import goes up, and there is no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the lowest to the highest. Each may import only those before it.
const ROOMS: [&str; 12] = [
    "text",
    "cli",
    "http",
    "api",
    "sys",
    "record",
    "reporting",
    "checker",
    "reboot",
    "install",
    "gate",
    "updater",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files below `directory`, without the files of tests.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, others): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_test = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == "tests");
    let rust = others.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs"));
    let below = directories.iter().filter(|path| !is_test(path)).flat_map(|path| files(path));
    rust.filter(|path| !is_test(path)).chain(below).collect()
}

/// The path of a module: `text::duration` for `src/text/duration.rs`.
fn module(file: &Path) -> String {
    let path = file.strip_prefix(source()).unwrap().with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap());
    names.filter(|name| *name != "mod").collect::<Vec<_>>().join("::")
}

/// The modules that a file imports from this library, without those of its tests.
fn imports(file: &Path, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let shipped = text.split("#[cfg(test)]").next().unwrap();
    let code = shipped.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut imports = BTreeSet::new();
    for path in code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned)) {
        let end = path.find(|at: char| !(at.is_alphanumeric() || at == '_' || at == ':'));
        let mut path = path[..end.unwrap_or(path.len())].trim_end_matches(':').to_owned();
        // The longest part of the path that is a module; what follows is an item of it.
        while !path.is_empty() && !modules.contains(&path) {
            path.truncate(path.rfind("::").unwrap_or(0));
        }
        imports.insert(path);
    }
    imports.remove("");
    imports.remove(&module(file));
    imports
}

/// Each module with the modules that it imports.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let files = files(&source());
    let modules = files.iter().map(|file| module(file)).collect();
    files.iter().map(|file| (module(file), imports(file, &modules))).collect()
}

fn room(module: &str) -> usize {
    let name = module.split("::").next().unwrap();
    ROOMS.iter().position(|room| *room == name).unwrap_or_else(|| panic!("{name} is no room"))
}

#[test]
fn no_room_imports_a_higher_one() {
    let graph = graph();
    assert!(graph.len() > 20, "{graph:?}");
    for (from, imports) in graph.iter().filter(|(from, _)| *from != "lib") {
        for to in imports {
            assert!(room(to) <= room(from), "{from} imports {to}");
        }
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let mut graph = graph();
    // Takes away the modules that import nothing that is left, again and again.
    loop {
        let done: Vec<_> =
            graph.iter().filter(|(_, to)| to.is_empty()).map(|(from, _)| from.clone()).collect();
        if done.is_empty() {
            break;
        }
        for name in &done {
            graph.remove(name);
        }
        for imports in graph.values_mut() {
            imports.retain(|to| !done.contains(to));
        }
    }
    assert!(graph.is_empty(), "these import each other: {graph:#?}");
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string(source().join("lib.rs")).unwrap();
    let rooms: BTreeSet<_> =
        graph().into_keys().map(|module| module.split("::").next().unwrap().to_owned()).collect();
    for room in rooms.iter().filter(|room| *room != "lib") {
        assert!(map.lines().any(|line| line.starts_with(&format!("//! | [`{room}`] |"))), "{room}");
    }
}
