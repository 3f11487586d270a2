//! The program `polder`: it shows both heaps at work. Its own allocator is Polder.
//!
//! `polder demo` loads, streams and unloads a scene on a Vulkan device, or on the software device
//! where there is none, and says what it found. The exit code is 0 when all went well, 1 when
//! something was found wrong or failed, and 2 when the arguments make no sense.

mod demo;
mod report;
mod table;
mod units;

use clap::{Args, Parser, Subcommand};
use demo::{Device, Extent, Findings, Memory, Plan};
use polder::Polder;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOC: Polder = Polder;

/// Anything that ends the program early, for people to read.
type Failure = Box<dyn Error + Send + Sync>;

/// Memory for the whole machine.
#[derive(Parser)]
#[command(name = "polder", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Loads, streams and unloads a scene, and compares every byte.
    Demo(DemoArguments),
}

#[derive(Args)]
struct DemoArguments {
    /// `vulkan`, `sim` or `sim:PRESET`; without it, Vulkan if there is any.
    #[arg(long, value_name = "DEVICE", default_value = "auto", hide_default_value = true)]
    device: Device,
    /// Writes the snapshot of the allocator after the last frame to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many threads allocate; without it, one per processor, from two to eight.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroU32>,
    /// How many frames are streamed.
    #[arg(long, value_name = "N")]
    frames: Option<u32>,
    /// What chance starts from: with the same seed come the same resources.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A small scene and few frames.
    #[arg(long)]
    quick: bool,
}

impl DemoArguments {
    fn plan(&self) -> Plan {
        let extent = if self.quick { Extent::QUICK } else { Extent::FULL };
        let extent = Extent { frames: self.frames.unwrap_or(extent.frames), ..extent };
        Plan { device: self.device, extent, threads: self.threads, seed: self.seed }
    }
}

fn main() -> ExitCode {
    let Arguments { command: Command::Demo(arguments) } = Arguments::parse();
    match run_demo(&arguments) {
        Ok(findings) if findings.is_good() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("polder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_demo(arguments: &DemoArguments) -> Result<Findings, Failure> {
    let (findings, memory) = demo::run(&arguments.plan())?;
    let Memory { device, host } = memory;
    let mut out = io::stdout().lock();
    report::print_snapshot(&mut out, &device)?;
    report::print_host(&mut out, &host)?;
    findings.print(&mut out)?;
    if let Some(path) = &arguments.json {
        let named = |error| format!("{}: {error}", path.display());
        let mut file = BufWriter::new(File::create(path).map_err(named)?);
        serde_json::to_writer(&mut file, &device)?;
        file.flush().map_err(named)?;
        writeln!(out, "  snapshot         {}", path.display())?;
    }
    Ok(findings)
}
