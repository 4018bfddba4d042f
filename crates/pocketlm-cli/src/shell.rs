//! Commands to copy into a shell.

use std::ffi::OsStr;
use std::path::{MAIN_SEPARATOR_STR, Path, PathBuf};

/// An argument as a shell takes it: in quotes where it needs them.
pub fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=,:+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else if argument.contains(['"', '$', '`', '\\', '!']) {
        format!("'{}'", argument.replace('\'', r"'\''"))
    } else {
        format!("\"{argument}\"")
    }
}

/// How to call the running program: `pocketlm` where `PATH` leads to it, else its path.
pub fn program() -> String {
    let Ok(own) = std::env::current_exe().and_then(|path| path.canonicalize()) else {
        return "pocketlm".to_owned();
    };
    let name = format!("pocketlm{}", std::env::consts::EXE_SUFFIX);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_own = |folder: PathBuf| folder.join(&name).canonicalize().is_ok_and(|path| path == own);
    if std::env::split_paths(&folders).any(is_own) {
        return "pocketlm".to_owned();
    }
    let here = std::env::current_dir().and_then(|path| path.canonicalize()).unwrap_or_default();
    quoted(&from_here(&own, &here).to_string_lossy())
}

/// The program's path as seen from a folder that it lies in, else the whole path.
fn from_here(own: &Path, here: &Path) -> PathBuf {
    match own.strip_prefix(here) {
        // A bare name would be looked for in PATH.
        Ok(inside) if inside.parent() == Some(Path::new("")) => {
            PathBuf::from(format!(".{MAIN_SEPARATOR_STR}{}", inside.display()))
        }
        Ok(inside) if inside.file_name().is_some() => inside.to_owned(),
        _ => own.to_owned(),
    }
}

/// The arguments of this process.
pub fn arguments() -> String {
    let arguments = std::env::args_os().skip(1);
    arguments.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// The command line of this process with `flag` before the argument `place`, or after the subcommand if there is none.
pub fn with_flag(flag: &str, place: Option<&str>) -> String {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    inserted(&arguments, flag, place)
}

fn inserted(arguments: &[impl AsRef<OsStr>], flag: &str, place: Option<&str>) -> String {
    let mut words: Vec<String> =
        arguments.iter().map(|argument| quoted(&argument.as_ref().to_string_lossy())).collect();
    let is_place = |argument: &&OsStr| place.is_some_and(|place| *argument == place);
    let found = arguments.iter().skip(1).position(|argument| is_place(&argument.as_ref()));
    words.insert(found.map_or(1, |at| at + 1).min(words.len()), flag.to_owned());
    format!("pocketlm {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_those_that_a_shell_needs() {
        let pairs = [
            ("runs/mine", "runs/mine"),
            ("the company", "\"the company\""),
            ("", "\"\""),
            ("it's late", "\"it's late\""),
            ("say \"no\"", "'say \"no\"'"),
            ("it's $5", r"'it'\''s $5'"),
            ("a;b", "\"a;b\""),
            ("été", "été"),
        ];
        for (argument, wanted) in pairs {
            assert_eq!(quoted(argument), wanted);
        }
    }

    #[test]
    fn a_flag_goes_before_the_argument_that_lacked_it() {
        let old = ["suggest", "a.plm", "the company", "-k", "3"];
        assert_eq!(
            inserted(&old, "-m", Some("a.plm")),
            "pocketlm suggest -m a.plm \"the company\" -k 3"
        );
        assert_eq!(
            inserted(&["score", "--json", "a b"], "-m MODEL", None),
            "pocketlm score -m MODEL --json \"a b\""
        );
    }

    #[test]
    fn a_program_below_this_folder_is_called_by_its_path_from_here() {
        let from = |own, here| from_here(Path::new(own), Path::new(here));
        assert_eq!(from("/a/b/pocketlm", "/a"), Path::new("b/pocketlm"));
        assert_eq!(from("/a/b/pocketlm", "/a/b"), Path::new("./pocketlm"));
        assert_eq!(from("/a/b/pocketlm", "/c"), Path::new("/a/b/pocketlm"));
    }
}
