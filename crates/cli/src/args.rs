//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use landfall_link::scan::Target;
use landfall_proto::id::{Cid, DeviceId, ProductId};
use landfall_proto::lan::Version;

pub(crate) mod cloud;
pub(crate) mod install;
pub(crate) mod run;
pub(crate) mod token;

pub(crate) use crate::via::Way;
pub(crate) use cloud::Cloud;
pub(crate) use install::{CheckInstall, Completions, Health, Man};
pub(crate) use run::{Config, Run, Top};
pub(crate) use token::Token;

/// Talk to the Tuya devices of your home over your own network, without the vendor's cloud.
#[derive(Debug, Parser)]
#[command(name = "landfall", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "stdout is data, stderr is talk. Exit codes: 0 ok, 1 the request failed, 2 misuse.\n\
    Try it without any hardware: landfall demo")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Use this devices.json as it is, for reading only, in place of the book
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) devices: Option<PathBuf>,
    /// Where Landfall keeps its files [default: the variable LANDFALL_DATA_DIR, STATE_DIRECTORY,
    /// $XDG_STATE_HOME/landfall or ~/.local/state/landfall]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Say more on stderr (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find devices on the network
    Scan(Scan),
    /// The book: which devices are yours
    #[command(subcommand)]
    Device(Device),
    /// Ask a device for its data points
    Get(Get),
    /// Set data points and see whether it worked
    Set(Set),
    /// Print a line for each change, until Ctrl-C
    Watch(Watch),
    /// Find out why a device does not work
    Doctor(Doctor),
    /// Be the cloud that stock devices look for
    Cloud(Box<Cloud>),
    /// Run the home server: both lines of every device, history, API, MQTT
    Run(Run),
    /// Show the devices of the running hub, live
    Top(Top),
    /// The settings of the home server
    #[command(subcommand)]
    Config(Config),
    /// Say whether this machine is ready for the home server, and what to do where it is not
    ///
    /// Looks at ports, rights, files, names and clock. Nothing is changed, and nothing is sent but questions for the vendor's
    /// names to the system's resolver. Exit code 0: ready, 1: there are problems.
    CheckInstall(CheckInstall),
    /// Ask whether the hub of the data directory answers: exit code 0 when it does
    Health(Health),
    /// Who may use the running hub: tokens for programs and browsers
    #[command(subcommand)]
    Token(Token),
    /// Run virtual devices that other programs take for real
    Simulate(Simulate),
    /// Show a virtual home, live: no hardware needed
    Demo(Demo),
    /// Print a completion script for your shell
    Completions(Completions),
    /// Print landfall(1), or write all manual pages into a directory
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Scan {
    /// How long to look, in seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Try this address, ADDR:PORT or network (192.168.1.0/24) by TCP; may be repeated
    #[arg(long, value_name = "ADDR|CIDR")]
    pub(crate) probe: Vec<Target>,
    /// Only probe: don't listen, and don't ask the network who is there
    #[arg(long, requires = "probe")]
    pub(crate) only_probe: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Name or id
    pub(crate) device: String,
    /// Numbers or codes of data points (1, switch_1); all when left out. A single one prints its bare value
    #[arg(value_name = "DP")]
    pub(crate) points: Vec<String>,
    #[command(flatten)]
    pub(crate) way: Way,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name or id
    pub(crate) device: String,
    /// What to set: number or code of the data point, and the value as JSON or as a plain word (switch_1=on, 2=500)
    #[arg(value_name = "DP=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "S", value_parser = crate::cmd::set::seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Be content with the device's acknowledgement; don't wait until it shows the value
    #[arg(long)]
    pub(crate) no_confirm: bool,
    #[command(flatten)]
    pub(crate) way: Way,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Names or ids; all devices when left out
    // Not "devices": that is the id of the global option, which is of another type.
    #[arg(id = "watched", value_name = "DEVICE")]
    pub(crate) devices: Vec<String>,
    #[command(flatten)]
    pub(crate) way: Way,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Name or id
    pub(crate) device: String,
    /// Go to the address in the book at once; don't listen for the device, and don't ask the network for it
    #[arg(long)]
    pub(crate) no_listen: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Put a device into the book
    Add(DeviceAdd),
    /// List the devices of the book
    List(Json),
    /// Show what the book knows of a device
    Show(DeviceShow),
    /// Give a device another name
    Rename(DeviceRename),
    /// Take a device out of the book
    Remove(DeviceRemove),
    /// Take over devices from tinytuya's devices.json or snapshot.json, or tuya-cli's wizard list
    Import(DeviceImport),
    /// Write the book as tinytuya's devices.json
    Export(DeviceExport),
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The local key comes from --key-file, --key-stdin or the variable LANDFALL_LOCAL_KEY, never from an argument:
/// arguments end up in the shell's history and in the list of processes.
#[derive(Debug, Args)]
pub(crate) struct DeviceAdd {
    /// A name of your choice; spaces and "/" are fine
    pub(crate) name: String,
    /// Its device id
    #[arg(long, value_name = "ID")]
    pub(crate) id: DeviceId,
    /// Read the local key from this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "key_stdin")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the local key from standard input
    #[arg(long)]
    pub(crate) key_stdin: bool,
    /// Its IP address
    #[arg(long, value_name = "ADDR")]
    pub(crate) address: Option<IpAddr>,
    /// Its TCP port, where it is not 6668
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Its LAN protocol version: 3.1, 3.2, 3.3, 3.4 or 3.5; found out when left out
    #[arg(long, value_name = "VERSION")]
    pub(crate) protocol: Option<Version>,
    /// Its product id
    #[arg(long, value_name = "ID")]
    pub(crate) product: Option<ProductId>,
    /// Of a sub-device: the gateway's name or id
    #[arg(long, value_name = "DEVICE", requires = "cid")]
    pub(crate) gateway: Option<String>,
    /// Of a sub-device: its node id behind the gateway
    #[arg(long, value_name = "CID", requires = "gateway")]
    pub(crate) cid: Option<Cid>,
    /// It runs on a battery and sleeps most of the time
    #[arg(long)]
    pub(crate) sleeper: bool,
    /// Query it in the device22 form (some devices execute such queries as commands: only if you need it)
    #[arg(long)]
    pub(crate) device22: bool,
    /// Change the device if it is in the book already; what you leave out stays
    #[arg(long)]
    pub(crate) update: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceShow {
    /// Name or id
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceRename {
    /// Name or id
    pub(crate) device: String,
    /// The new name
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceRemove {
    /// Name or id
    pub(crate) device: String,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceImport {
    /// The file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceExport {
    /// Include the local keys (a file is then readable by you alone)
    #[arg(long)]
    pub(crate) with_keys: bool,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The home to simulate, a TOML file; a built-in one when left out
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "devices")]
    pub(crate) home: Option<PathBuf>,
    /// Simulate so many devices of all kinds and versions instead
    // It has the id and the type of the global option of this name, which means nothing here: clap wants them alike.
    #[arg(id = "devices", long = "devices", value_name = "N")]
    pub(crate) devices: Option<PathBuf>,
    /// Write tinytuya's devices.json for other programs, once all devices listen. It holds the (virtual) keys
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) write_devices: Option<PathBuf>,
    /// The devices don't announce themselves and don't answer questions who is there
    #[arg(long)]
    pub(crate) no_discovery: bool,
    /// Where the devices' cloud is: the address of a `landfall cloud`, or dns to go where the system's DNS leads. Without
    /// it their cloud sides are off
    #[arg(long, value_name = "IP|dns", value_parser = cloud::at)]
    pub(crate) cloud: Option<cloud::At>,
    #[command(flatten)]
    pub(crate) cloud_ports: cloud::Ports,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Print one table, when every device has reported, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Where the API listens [default: 127.0.0.1:8099, or any free port where that is taken]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}
