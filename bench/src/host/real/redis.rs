//! A Redis server on a socket in the file system, and its own program of requests.

use super::super::build::Programs;
use super::super::child::{self, Usage};
use super::super::library::Library;
use super::found;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const REQUESTS: &str = "30000";
const KEYS: &str = "20000";
const SIZE: &str = "200";
const COMMANDS: &str = "set,get,incr,lpush,lpop,sadd,hset,zadd,mset";
const SOCKET: &str = "redis.socket";
const SERVER: [&str; 8] = ["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"];
/// The server is there after a few of these steps, or it never is.
const STEP: Duration = Duration::from_millis(5);
const STEPS_MAX: usize = 1_000;

/// The programs and where they meet.
pub struct Server {
    server: PathBuf,
    requests: PathBuf,
    control: PathBuf,
    socket: PathBuf,
}

impl Server {
    /// Returns it, if this machine has it.
    pub fn find(folder: &Path) -> Option<Self> {
        Some(Self {
            server: found("redis-server")?,
            requests: found("redis-benchmark")?,
            control: found("redis-cli")?,
            socket: folder.join(SOCKET),
        })
    }

    /// Starts a server under a library, sends the requests, and ends it; the usage is the server's.
    pub fn run(&self, programs: &Programs, library: &Library) -> io::Result<Usage> {
        let _ = std::fs::remove_file(&self.socket);
        let mut server = Command::new(&self.server);
        server.args(SERVER).arg("--unixsocket").arg(&self.socket);
        let running = child::start(programs, library, &server, Stdio::null())?;
        let asked = self.wait().and_then(|()| self.ask());
        // It answers with the end of the connection.
        let _ = self.client(&self.control).args(["shutdown", "nosave"]).output();
        let (_, usage) = running.finish()?;
        asked.map(|()| usage)
    }

    fn wait(&self) -> io::Result<()> {
        for _ in 0..STEPS_MAX {
            let answer = self.client(&self.control).arg("ping").output()?;
            if answer.stdout.starts_with(b"PONG") {
                return Ok(());
            }
            sleep(STEP);
        }
        Err(io::Error::other("the server does not answer"))
    }

    fn ask(&self) -> io::Result<()> {
        let mut requests = self.client(&self.requests);
        requests.args(["-q", "-n", REQUESTS, "-r", KEYS, "-d", SIZE, "-t", COMMANDS, "-P", "8"]);
        let output = requests.output()?;
        if output.status.success() { Ok(()) } else { Err(io::Error::other("requests fail")) }
    }

    fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-s").arg(&self.socket);
        command
    }
}
