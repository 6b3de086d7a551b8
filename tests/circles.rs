//! The files of a crate use each other in one direction: where one uses another, that one does not use it
//! in turn, directly or through others. A module and what lies below it may know each other; it counts
//! as one with that for what lies beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module: the names that lead to it from the root of its crate.
type Module = Vec<String>;

/// The tokens of each file of a crate, by its module.
type Sources = BTreeMap<Module, Vec<TokenTree>>;

/// A name that a module has for something, and the path to that.
type Import = (String, Vec<String>);

/// What a file says of others.
#[derive(Default)]
struct File {
    /// What it imports.
    imports: Vec<Import>,
    /// The paths from the root of the crate that stand in it.
    paths: BTreeSet<Vec<String>>,
}

/// Reads the modules in a directory, without those that only tests have.
fn sources(directory: &Path) -> Sources {
    let mut found = Sources::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory_here) = waiting.pop() {
        for entry in fs_err::read_dir(&directory_here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let within = path.strip_prefix(directory).unwrap().with_extension("");
            let mut module: Module = within
                .iter()
                .map(|name| name.to_str().unwrap().to_owned())
                .collect();
            if module == ["main"] {
                continue;
            }
            if module == ["lib"] || module.last().is_some_and(|name| name == "mod") {
                module.pop();
            }
            let text = fs_err::read_to_string(&path).unwrap();
            let tokens: TokenStream = text.parse().unwrap();
            found.insert(module, tokens.into_iter().collect());
        }
    }
    let only_tests: Vec<Module> = found
        .iter()
        .flat_map(|(module, tokens)| {
            let names = test_modules(tokens).into_iter();
            names.map(|name| [module.as_slice(), &[name]].concat())
        })
        .collect();
    found.retain(|module, _| !only_tests.iter().any(|test| module.starts_with(test)));
    found
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

fn is_sign(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

/// Whether an attribute begins here that makes what follows a test's.
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(group), ..] = tokens else {
        return false;
    };
    let text = group.stream().to_string().replace(' ', "");
    hash.as_char() == '#' && (text.starts_with("cfg(test") || text.starts_with("cfg(all(test"))
}

/// How many tokens the item has that begins here, with its attributes.
fn length(tokens: &[TokenTree]) -> usize {
    let end = tokens.iter().position(|token| {
        is_sign(Some(token), ';')
            || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    });
    end.map_or(tokens.len(), |end| end + 1)
}

/// The modules in files of their own that only tests have.
fn test_modules(tokens: &[TokenTree]) -> Vec<String> {
    let starts = (0..tokens.len()).map(|at| &tokens[at..]);
    starts
        .filter(|rest| is_for_tests(rest))
        .filter_map(|rest| {
            let item = &rest[..length(rest)];
            let at = item.iter().position(|token| is_word(Some(token), "mod"))?;
            word(item.get(at + 1))
        })
        .collect()
}

/// Reads `a::{b, c as d}`: paths, with the names that they get.
fn tree(tokens: &[TokenTree], before: &[String], found: &mut Vec<Import>) {
    let mut path = before.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(ident) if ident == "as" => {
                let name = word(tokens.get(at + 1)).unwrap_or_default();
                found.push((name, path));
                return;
            }
            TokenTree::Ident(ident) => path.push(ident.to_string()),
            TokenTree::Group(group) => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in inside.split(|token| is_sign(Some(token), ',')) {
                    if !part.is_empty() {
                        tree(part, &path, found);
                    }
                }
                return;
            }
            _ => {}
        }
        at += 1;
    }
    if path.last().is_some_and(|name| name == "self") {
        path.pop();
    }
    let name = path.last().cloned().unwrap_or_default();
    found.push((name, path));
}

/// A path as it is from the root of the crate; `None` where it leads out of that.
fn absolute(path: &[String], module: &[String], sources: &Sources) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let (_, above) = module.split_last()?;
            match rest.first() {
                Some(next) if next == "super" => absolute(rest, above, sources),
                _ => Some([above, rest].concat()),
            }
        }
        name => {
            let below = [module, &[name.to_owned()]].concat();
            sources
                .contains_key(&below)
                .then(|| [module, path].concat())
        }
    }
}

/// Collects what tokens in a module say of others.
fn read(tokens: &[TokenTree], module: &[String], sources: &Sources, file: &mut File) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at..];
        if is_for_tests(rest) {
            at += length(rest);
            continue;
        }
        match token {
            TokenTree::Ident(ident) if ident == "use" => {
                let end = at + length_of_use(rest);
                let mut found = Vec::new();
                tree(&tokens[at + 1..end], &[], &mut found);
                for (name, path) in found {
                    if let Some(path) = absolute(&path, module, sources) {
                        file.paths.insert(path.clone());
                        file.imports.push((name, path));
                    }
                }
                at = end;
            }
            TokenTree::Ident(ident)
                if ["crate", "self", "super"].iter().any(|word| ident == word) =>
            {
                let mut path = vec![ident.to_string()];
                while is_sign(tokens.get(at + 1), ':')
                    && is_sign(tokens.get(at + 2), ':')
                    && let Some(name) = word(tokens.get(at + 3))
                {
                    path.push(name);
                    at += 3;
                }
                if path.len() > 1 {
                    file.paths.extend(absolute(&path, module, sources));
                }
            }
            TokenTree::Ident(ident) if ident == "mod" => {
                if let (Some(name), Some(TokenTree::Group(group))) =
                    (word(tokens.get(at + 1)), tokens.get(at + 2))
                {
                    let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                    read(&inside, &[module, &[name]].concat(), sources, file);
                    at += 2;
                }
            }
            TokenTree::Group(group) => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                read(&inside, module, sources, file);
            }
            _ => {}
        }
        at += 1;
    }
}

fn length_of_use(tokens: &[TokenTree]) -> usize {
    let end = tokens.iter().position(|token| is_sign(Some(token), ';'));
    end.unwrap_or(tokens.len())
}

/// The module in which what a path names is written, whatever imports the path goes through.
fn place(path: &[String], files: &BTreeMap<Module, File>, steps: usize) -> Module {
    let mut module = Module::new();
    for (at, name) in path.iter().enumerate() {
        let below = [module.as_slice(), std::slice::from_ref(name)].concat();
        if files.contains_key(&below) {
            module = below;
            continue;
        }
        let imports = files.get(&module).map(|file| file.imports.iter());
        let found = imports.into_iter().flatten().find(|(own, _)| own == name);
        return match found {
            Some((_, target)) if steps > 0 => place(
                &[target.as_slice(), &path[at + 1..]].concat(),
                files,
                steps - 1,
            ),
            _ => module,
        };
    }
    module
}

/// The modules that use each other in a circle, with what lies below each counted to it: `a → b` for
/// each use that is part of one.
fn circles(sources: &Sources) -> Vec<String> {
    let files: BTreeMap<Module, File> = sources
        .iter()
        .map(|(module, tokens)| {
            let mut file = File::default();
            read(tokens, module, sources, &mut file);
            (module.clone(), file)
        })
        .collect();
    let mut uses: BTreeSet<(Module, Module)> = BTreeSet::new();
    for (module, file) in &files {
        for path in &file.paths {
            let other = place(path, &files, 8);
            let shared = module.iter().zip(&other).take_while(|(a, b)| a == b);
            let depth = shared.count() + 1;
            // One of them lies below the other otherwise.
            if let (Some(one), Some(two)) = (module.get(..depth), other.get(..depth)) {
                uses.insert((one.to_vec(), two.to_vec()));
            }
        }
    }
    // What uses nothing, or is used by nothing, is in no circle.
    loop {
        let users: BTreeSet<Module> = uses.iter().map(|(user, _)| user.clone()).collect();
        let used: BTreeSet<Module> = uses.iter().map(|(_, used)| used.clone()).collect();
        let before = uses.len();
        uses.retain(|(user, other)| used.contains(user) && users.contains(other));
        if uses.len() == before {
            break;
        }
    }
    let shown = uses.iter();
    shown
        .map(|(user, used)| format!("{} → {}", user.join("/"), used.join("/")))
        .collect()
}

#[test]
fn no_files_of_a_crate_use_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut directories = vec![root.join("src")];
    for entry in fs_err::read_dir(root.join("crates")).unwrap() {
        directories.push(entry.unwrap().path().join("src"));
    }
    for directory in directories {
        let sources = sources(&directory);
        assert!(!sources.is_empty(), "{}", directory.display());
        let shown = directory.strip_prefix(root).unwrap().display().to_string();
        let found = circles(&sources).into_iter();
        wrong.extend(found.map(|circle| format!("{shown}: {circle}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The circles in files that are written here.
fn of(files: &[(&str, &str)]) -> Vec<String> {
    let sources = files
        .iter()
        .map(|(module, text)| {
            let names = module.split('/').filter(|name| !name.is_empty());
            let tokens: TokenStream = text.parse().unwrap();
            let module: Module = names.map(str::to_owned).collect();
            (module, tokens.into_iter().collect())
        })
        .collect();
    circles(&sources)
}

#[test]
fn a_circle_is_found_whatever_way_it_goes() {
    let both = ["a → b", "b → a"];
    assert_eq!(
        of(&[
            ("a", "use super::b::B;"),
            ("b", "fn f() { crate::a::g(); }")
        ]),
        both
    );
    // Through what another file hands on.
    let handed = [
        ("", "mod a; mod b; pub use a::{A, B as C};"),
        ("a", "use super::b;"),
        ("b", "use crate::{x, C};"),
    ];
    assert_eq!(of(&handed), both);
    // Through files below.
    let below = [
        ("a", "mod c;"),
        ("a/c", "use super::super::b::B;"),
        ("b", "use crate::a::A;"),
    ];
    assert_eq!(of(&below), both);
    let three = [
        ("a", "use super::b;"),
        ("b", "use super::c;"),
        ("c", "use super::a;"),
    ];
    assert_eq!(of(&three), ["a → b", "b → c", "c → a"]);
}

#[test]
fn what_is_no_circle_is_none() {
    let parent_and_child = [
        ("a", "mod b; use b::B; pub struct A;"),
        ("a/b", "use super::A; pub struct B;"),
    ];
    assert_eq!(of(&parent_and_child), [""; 0]);
    let only_tests = [
        ("a", "use super::b::B;"),
        ("b", "#[cfg(test)] mod tests { use crate::a::A; }"),
    ];
    assert_eq!(of(&only_tests), [""; 0]);
    let in_words = [
        ("a", "use super::b::B;"),
        (
            "b",
            "/// See [`crate::a::A`].\nconst B: &str = \"crate::a\";",
        ),
    ];
    assert_eq!(of(&in_words), [""; 0]);
}
