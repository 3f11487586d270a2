//! What the hardened build finds of misuse: each mistake in a process of its own, in three sizes.
//!
//! The table below says of each mistake what becomes of it. A test runs this binary again for each
//! one, with the mistake's name in the environment, and looks at how that process ends: with a line
//! of ours that has the address, by a fault, or as if nothing had been. What is not found is in the
//! table too, with the reason: a change that finds it, or that loses another, is seen here.

#![cfg(feature = "hardened")]

mod mistakes;

use mistakes::{Mistake, OWNERS, TABLE};
use std::env;
use std::fmt::{self, Display, Formatter};
use std::process::{Command, ExitStatus, Output};

/// Says in the environment which mistake the process makes. Not one of Polder's settings.
const VARIABLE: &str = "MISTAKE_OF_TEST";
/// A small object, a medium one (in a slab too), and one with a span of its own; in bytes.
const SIZES: [usize; 3] = [40, 5_000, 200_000];
/// Of a hundred mistakes at least so many are found.
const FOUND_LEAST: usize = 85;

/// What becomes of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A line of ours that has the address, and the end of the process.
    Told,
    /// The end of the process by an access that faults.
    Fault,
    /// The mistake shows nothing and breaks nothing.
    Harmless,
    /// Nobody notices. Why is in the table.
    Missed(&'static str),
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Told => "told",
            Self::Fault => "fault",
            Self::Harmless => "harmless",
            Self::Missed(_) => "missed",
        })
    }
}

/// What a process says of itself, on a line of its standard output.
mod word {
    /// What follows is the address that the report shall have.
    pub const ADDRESS: &str = "address ";
    /// The mistake was made, and showed and broke nothing.
    pub const HARMLESS: &str = "harmless";
    /// The mistake was made, and the process goes on.
    pub const MISSED: &str = "missed";
}

/// Makes the mistake that the environment names, if it names one.
#[test]
fn child() {
    let Ok(name) = env::var(VARIABLE) else { return };
    let (name, size) = name.rsplit_once(' ').expect("a size follows the name");
    let size = size.parse().expect("the size is a number");
    let all = TABLE.iter().chain(OWNERS.iter().map(|(mistake, _)| mistake));
    let mistake = all.into_iter().find(|mistake| mistake.name == name);
    let mistake = mistake.expect("the mistake is known");
    // The harness has written the test's name, and no end of the line.
    println!();
    println!("{}", if (mistake.make)(size) { word::HARMLESS } else { word::MISSED });
}

fn run(mistake: &Mistake, size: usize) -> Output {
    let program = env::current_exe().expect("a test knows its program");
    let mut command = Command::new(program);
    command.args(["--exact", "child", "--nocapture"]);
    command.env(VARIABLE, format!("{} {size}", mistake.name));
    command.output().expect("the program runs again")
}

/// How a process ended, or what is wrong with that.
fn end_of(output: &Output) -> Result<End, String> {
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    if let Some(line) = told.lines().find(|line| line.starts_with("polder: ")) {
        return check_report(line, &said, output.status).map(|()| End::Told);
    }
    if said.lines().any(|line| line == word::HARMLESS) {
        return Ok(End::Harmless);
    }
    if said.lines().any(|line| line == word::MISSED) {
        return Ok(End::Missed(""));
    }
    // A panic ends with a code from 1 to 255; a signal has none, an exception of Windows one below.
    match output.status.code() {
        Some(0..) => Err(format!("the process ended early: {told}")),
        _ => Ok(End::Fault),
    }
}

/// A report has the address and, where the place is ours, what it is and whose.
fn check_report(line: &str, said: &str, status: ExitStatus) -> Result<(), String> {
    let address = said.lines().rev().find_map(|line| line.strip_prefix(word::ADDRESS));
    let address = address.ok_or("the process said no address")?;
    if status.success() {
        return Err(format!("the process went on after: {line}"));
    }
    let is_whole = [": a slot of ", ": a large object", ", which is no live object"];
    let Some(rest) = line.split_once(address).map(|(_, rest)| rest) else {
        return Err(format!("no {address} in: {line}"));
    };
    match is_whole.iter().any(|start| rest.starts_with(start)) {
        true => Ok(()),
        false => Err(format!("nothing of the place in: {line}")),
    }
}

#[test]
fn misuse_ends_as_the_table_says() {
    let (mut wrong, mut found, mut all) = (Vec::new(), 0, 0);
    for mistake in TABLE {
        let ends = SIZES.map(|size| end_of(&run(mistake, size)));
        for ((end, expected), size) in ends.iter().zip(mistake.ends).zip(SIZES) {
            all += 1;
            found += usize::from(matches!(end, Ok(End::Told | End::Fault | End::Harmless)));
            let is_as_expected = match (end, expected) {
                (Ok(End::Missed(_)), End::Missed(_)) => true,
                (end, expected) => *end == Ok(expected),
            };
            if !is_as_expected {
                wrong.push(format!("{} of {size}: {end:?}, not {expected:?}", mistake.name));
            }
        }
        let [small, medium, large] =
            ends.map(|end| end.map_or("wrong".into(), |end| end.to_string()));
        println!("{:42} {small:9} {medium:9} {large:9}", mistake.name);
    }
    println!("{found} of {all} found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found * 100 >= all * FOUND_LEAST, "{found} of {all} found");
}

#[test]
fn a_report_says_whose_the_place_is() {
    let [small, medium, _] = SIZES;
    for (mistake, owner) in OWNERS {
        for size in [small, medium] {
            let output = run(mistake, size);
            assert_eq!(end_of(&output), Ok(End::Told), "{} of {size}", mistake.name);
            let told = String::from_utf8_lossy(&output.stderr);
            let has_owner = told.lines().any(|line| line.ends_with(owner));
            assert!(has_owner, "{} of {size}: {told}", mistake.name);
        }
    }
}

#[test]
fn what_is_missed_has_a_reason() {
    for mistake in TABLE {
        for end in mistake.ends {
            assert!(!matches!(end, End::Missed("")), "{}", mistake.name);
        }
    }
}
