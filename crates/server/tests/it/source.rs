//! Reads Rust sources as far as `tidy` needs them: words, signs and texts, and the paths they name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The root of the repository, found when the test runs: clones may share a target folder.
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    package.join("../..").canonicalize().unwrap()
}

/// All files of the repository under `folder`, from the root, sorted. What is built or fetched is
/// left out.
pub fn files(folder: &str) -> Vec<String> {
    let root = root();
    let (mut found, mut folders) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                if !["target", "node_modules", ".git", "usher-data"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else {
                found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file of the repository.
pub fn text(path: &str) -> String {
    let bytes = std::fs::read(root().join(path)).unwrap_or_else(|it| panic!("{path}: {it}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A word, a sign, or a text between quotes; comments are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    pub line: usize,
    /// Whether it is code of a test.
    pub test: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    Sign,
    Text,
}

/// A path that a source names. What is of the same crate begins with `crate::`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub path: String,
    pub line: usize,
    pub test: bool,
}

/// One file of Rust.
pub struct Source {
    /// Below the folder `src`, for messages: `store/users.rs`.
    pub file: String,
    /// What it is called: `store::users`.
    pub module: String,
    pub tokens: Vec<Token>,
    pub names: Vec<Named>,
}

impl Source {
    /// Every source of a crate, by the path of its folder `src`.
    pub fn of_crate(folder: &str) -> Vec<Self> {
        let all = files(folder).into_iter().filter(|it| has_ending(it, "rs"));
        all.map(|it| Self::new(it[folder.len()..].trim_start_matches('/'), &text(&it))).collect()
    }

    /// Reads one file.
    pub fn new(file: &str, text: &str) -> Self {
        let bare = file.trim_end_matches(".rs");
        let bare = bare.trim_end_matches("/mod");
        let module = if ["lib", "main"].contains(&bare) { "" } else { bare };
        let module = module.replace('/', "::");
        let mut tokens = tokens(text);
        mark_tests(&mut tokens);
        let names = names(&module, &tokens);
        Self { file: file.to_owned(), module, tokens, names }
    }

    /// The first name of the module: the feature that the file belongs to.
    pub fn top(&self) -> &str {
        self.module.split("::").next().unwrap_or_default()
    }

    /// The methods that are called, `.name(`, with what stands before the dot.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.tokens.windows(4).filter_map(|it| {
            let [object, dot, method, open] = it else { return None };
            let call = dot.text == "." && method.kind == Kind::Word && open.text == "(";
            call.then_some((object.text.as_str(), method))
        })
    }

    /// The texts that are no test's.
    pub fn texts(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|it| it.kind == Kind::Text && !it.test)
    }
}

/// Whether a file's name ends in a dot and `ending`.
pub fn has_ending(path: &str, ending: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == ending)
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    let starts = |at: usize, what: &str| {
        what.chars().enumerate().all(|(offset, it)| chars.get(at + offset) == Some(&it))
    };
    while let Some(&first) = chars.get(at) {
        let start = at;
        let mut kind = None;
        if starts(at, "//") {
            while chars.get(at).is_some_and(|it| *it != '\n') {
                at += 1;
            }
        } else if starts(at, "/*") {
            let mut depth = 0;
            loop {
                if starts(at, "/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if starts(at, "*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = text_end(&chars, at) {
            (kind, at) = (Some(Kind::Text), end);
        } else if first == '\'' {
            // A letter in quotes, or a lifetime.
            at += if chars.get(at + 1) == Some(&'\\') { 3 } else { 2 };
            let quoted = (at..at + 12).find(|it| chars.get(*it) == Some(&'\''));
            let escape = chars.get(start + 1) == Some(&'\\');
            if let Some(end) = quoted.filter(|it| escape || *it == at) {
                at = end + 1;
            } else {
                at = start + 1;
                while chars.get(at).copied().is_some_and(is_word) {
                    at += 1;
                }
            }
        } else if is_word(first) {
            while chars.get(at).copied().is_some_and(is_word) {
                at += 1;
            }
            kind = Some(Kind::Word);
        } else {
            at += if starts(at, "::") { 2 } else { 1 };
            kind = (!first.is_whitespace()).then_some(Kind::Sign);
        }
        let text: String = chars[start..at.min(chars.len())].iter().collect();
        let lines = text.matches('\n').count();
        if let Some(kind) = kind {
            found.push(Token { kind, text, line, test: false });
        }
        line += lines;
    }
    found
}

fn is_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

/// Where the text that begins at `at` ends, if one does: `"…"`, `b"…"`, `r#"…"#`.
fn text_end(chars: &[char], mut at: usize) -> Option<usize> {
    if at > 0 && is_word(chars[at - 1]) {
        return None;
    }
    let mut raw = false;
    while let Some(letter @ ('b' | 'c' | 'r')) = chars.get(at).copied() {
        (raw, at) = (raw || letter == 'r', at + 1);
    }
    let mut hashes = 0;
    while raw && chars.get(at) == Some(&'#') {
        (hashes, at) = (hashes + 1, at + 1);
    }
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    loop {
        match chars.get(at)? {
            '\\' if !raw => at += 2,
            '"' if (0..hashes).all(|it| chars.get(at + 1 + it) == Some(&'#')) => {
                return Some(at + 1 + hashes);
            }
            _ => at += 1,
        }
    }
}

/// Marks the item after each `#[cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    let texts: Vec<String> = tokens.iter().map(|it| it.text.clone()).collect();
    for start in 0..texts.len() {
        if texts[start..].iter().take(7).ne(["#", "[", "cfg", "(", "test", ")", "]"]) {
            continue;
        }
        let mut depth = 0;
        for at in start + 7..texts.len() {
            tokens[at].test = true;
            match texts[at].as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                ";" => {}
                _ => continue,
            }
            if depth == 0 {
                break;
            }
        }
    }
}

/// Every path that the tokens name, in full: what `use` has brought in is put in its place.
fn names(module: &str, tokens: &[Token]) -> Vec<Named> {
    let mut names = Vec::new();
    // What a word means, apart for tests: they see what the file sees, and their own.
    let mut known: HashMap<(bool, String), String> = HashMap::new();
    let mut inline: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    let own = |inline: &[(usize, String)]| {
        let inner = inline.iter().map(|it| it.1.as_str());
        let outer = module.split("::").filter(|it| !it.is_empty());
        ["crate"].into_iter().chain(outer).chain(inner).map(str::to_owned).collect::<Vec<_>>()
    };
    let word = |at: usize| tokens.get(at).filter(|it| it.kind == Kind::Word);
    let sign = |at: usize, what: &str| tokens.get(at).is_some_and(|it| it.text == what);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|it| it.0 <= depth);
            }
            "mod" if word(at + 1).is_some() => {
                let name = tokens[at + 1].text.clone();
                let path = [own(&inline), vec![name.clone()]].concat().join("::");
                known.insert((token.test, name.clone()), path);
                if sign(at + 2, "{") {
                    inline.push((depth + 1, name));
                }
                at += 1;
            }
            "use" => {
                let mut paths = Vec::new();
                at = tree(tokens, at + 1, &[], &mut paths);
                for (path, alias, line) in paths {
                    let path = resolve(&path, &own(&inline), token.test, &known);
                    known.insert((token.test, alias), path.clone());
                    names.push(Named { path, line, test: token.test });
                }
                continue;
            }
            _ if token.kind == Kind::Word
                && (at == 0 || !(sign(at - 1, "::") || sign(at - 1, "."))) =>
            {
                let mut path = vec![token.text.clone()];
                while sign(at + 1, "::") && word(at + 2).is_some() {
                    path.push(tokens[at + 2].text.clone());
                    at += 2;
                }
                let resolved = resolve(&path, &own(&inline), token.test, &known);
                if path.len() > 1 || resolved != path[0] {
                    names.push(Named { path: resolved, line: token.line, test: token.test });
                }
            }
            _ => {}
        }
        at += 1;
    }
    names
}

type Imported = (Vec<String>, String, usize);

/// Reads one tree of a `use`, with `before` in front of it; gives what stands behind it.
fn tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Imported>) -> usize {
    let mut path = before.to_vec();
    let mut alias = None;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|it| it.text != "}") {
                    at = tree(tokens, at, &path, found);
                    at += usize::from(tokens.get(at).is_some_and(|it| it.text == ","));
                }
                return at + 1;
            }
            "," | "}" | ";" => break,
            "as" => {
                alias = tokens.get(at + 1).map(|it| it.text.clone());
                at += 1;
            }
            "::" => {}
            "self" if path.len() > before.len() || !before.is_empty() => {}
            other => path.push(other.to_owned()),
        }
        at += 1;
    }
    let line = tokens.get(at.saturating_sub(1)).map_or(0, |it| it.line);
    let alias = alias.or(path.last().cloned()).unwrap_or_default();
    found.push((path, alias, line));
    at
}

fn resolve(
    path: &[String],
    own: &[String],
    test: bool,
    known: &HashMap<(bool, String), String>,
) -> String {
    let ups = path.iter().take_while(|it| *it == "super").count();
    let meaning = || {
        let of_test = known.get(&(true, path[0].clone())).filter(|_| test);
        of_test.or_else(|| known.get(&(false, path[0].clone())))
    };
    let (mut full, rest) = if ups > 0 {
        (own[..own.len().saturating_sub(ups)].to_vec(), &path[ups..])
    } else if path[0] == "self" && path.len() > 1 {
        (own.to_vec(), &path[1..])
    } else if let Some(meaning) = meaning() {
        (vec![meaning.clone()], &path[1..])
    } else {
        (Vec::new(), path)
    };
    full.extend(rest.iter().cloned());
    full.join("::")
}

#[test]
fn a_source_is_read_as_the_compiler_reads_it() {
    let source = Source::new(
        "users/write.rs",
        r##"//! A comment with crate::web in it.
        use crate::{
            data::grow, // crate::none
            store::{self, Tx as T, sessions::{insert, touch}},
        };
        use super::draft;
        mod deep { fn it() { super::super::status::put(); "crate::text"; r#"a "raw" one"#; 'x' } }
        fn run<'a>(tx: &'a T) { store::users::lock(tx); insert(tx); draft::draft(); '\''; }
        /* crate::comment /* nested */ */
        #[cfg(test)]
        mod tests { use super::*; use crate::clock; fn it() { clock::now(); self::own() } }
        fn end() { clock::now(); x.insert(); }
        "##,
    );
    let names: Vec<(&str, bool)> =
        source.names.iter().map(|it| (it.path.as_str(), it.test)).collect();
    assert_eq!(
        names,
        [
            ("crate::data::grow", false),
            ("crate::store", false),
            ("crate::store::Tx", false),
            ("crate::store::sessions::insert", false),
            ("crate::store::sessions::touch", false),
            ("crate::users::draft", false),
            ("crate::users::status::put", false),
            ("crate::store::Tx", false),
            ("crate::store::users::lock", false),
            ("crate::store::sessions::insert", false),
            ("crate::users::draft::draft", false),
            ("crate::users::write::*", true),
            ("crate::clock", true),
            ("crate::clock::now", true),
            ("crate::users::write::tests::own", true),
            ("clock::now", false),
        ]
    );
    let texts: Vec<&str> = source.texts().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["\"crate::text\"", "r#\"a \"raw\" one\"#"]);
    let calls: Vec<_> = source.calls().map(|it| (it.0, it.1.text.as_str(), it.1.line)).collect();
    assert_eq!(calls, [("x", "insert", 12)]);
}
