//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use landfall_proto::id::{Cid, DeviceId, ProductId};
use landfall_proto::lan::Version;

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
    /// Where Landfall keeps its files [default: $STATE_DIRECTORY, $XDG_STATE_HOME/landfall or ~/.local/state/landfall]
    #[arg(long, global = true, value_name = "DIR", env = "LANDFALL_DATA_DIR", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
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
    /// The book: which devices are yours
    #[command(subcommand)]
    Device(Device),
    /// Print a completion script for your shell
    Completions(Completions),
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
    pub device22: bool,
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
pub(crate) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    pub(crate) shell: clap_complete::Shell,
}
