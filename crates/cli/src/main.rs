//! The command `landfall`.
//!
//! stdout is data, stderr is talk. Exit codes: 0 ok, 1 the request failed, 2 misuse. Only this crate prints.

mod args;
mod ask;
mod assign;
mod cmd;
mod context;
mod failure;
mod hint;
mod key_source;
mod out;
mod render;
mod stop;
mod subject;
mod tether;
mod trouble;
mod via;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return failure::report_usage(&e),
    };
    let context = Context::new(&cli.global);
    context.start_log();
    match run(&context, cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure::report(&failure, &context),
    }
}

fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Scan(c) => block_on(cmd::scan::run(context, &c)),
        Command::Device(c) => cmd::device::run(context, c),
        Command::Get(c) => block_on(cmd::get::run(context, &c)),
        Command::Set(c) => block_on(cmd::set::run(context, &c)),
        Command::Watch(c) => block_on(cmd::watch::run(context, &c)),
        Command::Doctor(c) => block_on(cmd::doctor::run(context, &c)),
        Command::Cloud(c) => block_on(cmd::cloud::run(context, *c)),
        Command::Run(c) => block_on(cmd::run::run(context, &c)),
        Command::Top(c) => block_on(cmd::top::run(context, &c)),
        Command::Config(c) => cmd::config::run(context, c),
        Command::CheckInstall(c) => block_on(cmd::check_install::run(context, &c)),
        Command::Health(c) => block_on(cmd::health::run(context, &c)),
        Command::Token(c) => block_on(cmd::token::run(context, c)),
        Command::Simulate(c) => block_on(cmd::simulate::run(context, &c)),
        Command::Demo(c) => block_on(cmd::demo::run(context, &c)),
        Command::Completions(c) => cmd::completions::run(&c),
        Command::Man(c) => cmd::man::run(context, &c),
    }
}

/// A runtime for the commands that talk to devices.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}
