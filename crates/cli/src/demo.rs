//! The demo: a scene is loaded, streamed and unloaded, and every byte is compared.
//!
//! Threads make and destroy resources ([`worker`]); the main thread carries bytes to and from
//! them, a batch of copies per frame ([`frames`]), on a device that one of two [`stage`]s drives.
//! Each resource is uploaded in the frame that it is made in, and read back in the frame that it
//! is retired in, so all that was uploaded is compared in the end.

mod crew;
mod findings;
mod frames;
mod phase;
mod probe;
mod random;
mod scene;
mod sim;
mod stage;
mod timed;
mod transfer;
mod vulkan;
mod worker;

pub use findings::Findings;

use crate::Failure;
use crew::Crew;
use frames::Frames;
use phase::{Progress, say};
use polder::device::sim::{Preset, Sim};
use polder::device::{DeviceKind, DeviceProperties};
use polder::host::Stats;
use polder::{Allocator, Options, Snapshot};
use random::Random;
use scene::Scene;
use sim::SimStage;
use stage::Stage;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::thread;
use std::time::Instant;
use timed::Phase;
use worker::{Order, Worker};

/// The software device that is used when no other is named.
const PRESET_DEFAULT: Preset = Preset::AmdNavi31;
/// The bytes that one frame brings while loading, and takes while unloading.
const FRAME_BYTES: u64 = 16 << 20;
/// This part of what lives is replaced in a frame.
const STREAM_SHARE: usize = 50;
/// How many threads allocate when nobody says.
const THREADS: std::ops::RangeInclusive<usize> = 2..=8;

/// Where the demo runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Vulkan, or the software device if there is none.
    Auto,
    Vulkan,
    Sim(Preset),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "vulkan" => Ok(Self::Vulkan),
            None if text == "sim" => Ok(Self::Sim(PRESET_DEFAULT)),
            Some(("sim", preset)) => preset
                .parse()
                .map(Self::Sim)
                .map_err(|error: polder::device::sim::UnknownPreset| error.to_string()),
            _ => Err("a device is `vulkan`, `sim` or `sim:PRESET`".to_owned()),
        }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub resources: usize,
    pub frames: u32,
    /// How often the largest sizes are halved.
    pub halvings: u32,
}

impl Extent {
    pub const FULL: Self = Self { resources: 10_000, frames: 200, halvings: 0 };
    pub const QUICK: Self = Self { resources: 1_000, frames: 20, halvings: 3 };
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub device: Device,
    pub extent: Extent,
    pub threads: Option<NonZeroU32>,
    pub seed: u64,
}

impl Plan {
    fn threads(&self) -> usize {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let chosen = self.threads.map(|threads| threads.get() as usize);
        chosen.unwrap_or(processors.clamp(*THREADS.start(), *THREADS.end()))
    }
}

/// How memory looked after the last frame.
#[derive(Debug)]
pub struct Memory {
    pub device: Snapshot,
    /// That of this process.
    pub host: Stats,
}

/// Runs the demo, and returns what was found and how memory looked after the last frame.
///
/// # Errors
///
/// What ended it early.
pub fn run(plan: &Plan) -> Result<(Findings, Memory), Failure> {
    let preset = match plan.device {
        Device::Sim(preset) => preset,
        Device::Vulkan => return vulkan::run(&vulkan::open()?, plan),
        Device::Auto => match vulkan::open() {
            Ok(context) => return vulkan::run(&context, plan),
            Err(reason) => {
                say(&format!("No Vulkan: {reason}."));
                PRESET_DEFAULT
            }
        },
    };
    say(&format!("On the software device, as {preset}:"));
    let sim = Sim::preset(preset);
    let allocator = Allocator::new(sim.clone(), Options::default());
    perform(&mut SimStage::new(sim), allocator, plan)
}

/// Plays the scene on a stage, and ends the allocator.
fn perform<S: Stage>(
    stage: &mut S,
    allocator: Allocator<S::Device>,
    plan: &Plan,
) -> Result<(Findings, Memory), Failure> {
    let begin = Instant::now();
    let threads = plan.threads();
    print_title(allocator.properties(), threads, plan.seed);
    let work = probe::probe(stage, &allocator, 0)?;
    if work == probe::Work::Dropped {
        say("This driver drops the work that it is given: data is not compared.");
    }
    let halvings = plan.extent.halvings + scene::halvings(heap_size(allocator.properties()));
    let scene = |thread| Scene::new(Random::new(plan.seed, thread), halvings);

    let (played, times) = thread::scope(|scope| {
        let workers = (0..threads as u64).map(|thread| Worker::<S>::new(&allocator, scene(thread)));
        let mut crew = Crew::start(scope, workers);
        let mut frames = Frames::new(stage, &allocator, work);
        let played = play(&mut frames, &mut crew, &plan.extent);
        // Also after a failure: the crew destroys what it has, so the device has to be idle.
        let landed = frames.land_all();
        let traffic = frames.into_traffic();
        let played = played.and_then(|memory| landed.map(|()| (memory, traffic)));
        (played, crew.end())
    });
    let (memory, traffic) = played?;
    let leaks = allocator.shutdown().err();
    let (complaints, time) = (stage.complaints(), begin.elapsed());
    let findings = Findings { work, traffic, times, leaks, complaints, time };
    Ok((findings, memory))
}

/// Loads, streams and unloads; returns how memory looked before the unloading.
fn play<S: Stage>(
    frames: &mut Frames<'_, S>,
    crew: &mut Crew<S::Device>,
    extent: &Extent,
) -> Result<Memory, Failure> {
    load(frames, crew, extent.resources)?;
    stream(frames, crew, extent.frames)?;
    let memory = Memory { device: frames.snapshot(), host: polder::host::stats() };
    unload(frames, crew)?;
    Ok(memory)
}

fn load<S: Stage>(
    frames: &mut Frames<'_, S>,
    crew: &mut Crew<S::Device>,
    resources: usize,
) -> Result<(), Failure> {
    let mut progress = Progress::new("load", resources as u64);
    while crew.live() < resources {
        let make_count_max = resources - crew.live();
        let order = Order { make_count_max, bytes_max: FRAME_BYTES, ..Order::NOTHING };
        frames.play(crew, &order, &mut progress)?;
        progress.advance_to(crew.live() as u64);
    }
    progress.end();
    Ok(())
}

fn stream<S: Stage>(
    frames: &mut Frames<'_, S>,
    crew: &mut Crew<S::Device>,
    frame_count: u32,
) -> Result<(), Failure> {
    let (phase, replaced) = (Phase::Stream, crew.live() / STREAM_SHARE);
    let (make_count_max, retire_count_max) = (replaced, replaced);
    let order = Order { phase, make_count_max, retire_count_max, ..Order::NOTHING };
    let mut progress = Progress::new("stream", frame_count.into());
    for number in 1..=frame_count {
        frames.play(crew, &order, &mut progress)?;
        progress.advance_to(number.into());
    }
    progress.end();
    Ok(())
}

fn unload<S: Stage>(frames: &mut Frames<'_, S>, crew: &mut Crew<S::Device>) -> Result<(), Failure> {
    let (phase, retire_count_max) = (Phase::Unload, usize::MAX);
    let order = Order { phase, retire_count_max, bytes_max: FRAME_BYTES, ..Order::NOTHING };
    let resources = crew.live();
    let mut progress = Progress::new("unload", resources as u64);
    while crew.live() > 0 {
        frames.play(crew, &order, &mut progress)?;
        progress.advance_to((resources - crew.live()) as u64);
    }
    progress.end();
    Ok(())
}

/// The size of the largest heap of the device's own.
fn heap_size(properties: &DeviceProperties) -> u64 {
    let own = properties.heaps.iter().filter(|heap| heap.device_local);
    own.map(|heap| heap.size).max().unwrap_or(0)
}

fn print_title(properties: &DeviceProperties, threads: usize, seed: u64) {
    let kind = match properties.kind {
        DeviceKind::DiscreteGpu => "discrete GPU",
        DeviceKind::IntegratedGpu => "integrated GPU",
        DeviceKind::VirtualGpu => "virtual GPU",
        DeviceKind::Cpu => "on the CPU",
        DeviceKind::Other => "other device",
    };
    let plural = if threads == 1 { "" } else { "s" };
    say(&format!("{} ({kind}), {threads} thread{plural}, seed {seed}", properties.name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use polder::device::sim::Live;

    #[test]
    fn a_device_is_left_as_it_was_even_one_that_is_too_small() {
        for heap_size in [1 << 20, 4 << 20, 64 << 20] {
            let mut layout = Preset::Lavapipe.layout();
            layout.properties.heaps[0].size = heap_size;
            let sim = Sim::new(layout).unwrap();
            let extent = Extent { halvings: 0, frames: 1, ..Extent::QUICK };
            let plan = Plan { device: Device::Auto, extent, threads: NonZeroU32::new(3), seed: 1 };
            let allocator = Allocator::new(sim.clone(), Options::default());
            let ended = perform(&mut SimStage::new(sim.clone()), allocator, &plan);
            assert_eq!(sim.violations(), []);
            assert_eq!(sim.live(), Live::default(), "{ended:?}");
            assert_eq!(ended.is_err(), heap_size <= 4 << 20, "{ended:?}");
        }
    }

    #[test]
    fn a_device_is_named_with_its_preset() {
        assert_eq!("sim".parse(), Ok(Device::Sim(PRESET_DEFAULT)));
        for preset in Preset::ALL {
            assert_eq!(format!("sim:{preset}").parse(), Ok(Device::Sim(preset)));
        }
        assert_eq!("vulkan".parse(), Ok(Device::Vulkan));
        assert!("sim:none".parse::<Device>().unwrap_err().contains("amd-navi31"));
        assert!("cuda".parse::<Device>().is_err());
    }
}
