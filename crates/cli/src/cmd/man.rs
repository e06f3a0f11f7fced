//! `landfall man`

use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::args::{self, Cli};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::count;

/// Prints landfall(1), or writes all pages.
pub(crate) fn run(context: &Context, a: &args::Man) -> Outcome {
    let mut command = Cli::command();
    // Global options, help texts and full names are settled by this.
    command.build();
    let Some(dir) = &a.out else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return out::data(&String::from_utf8_lossy(&page));
    };
    let written = write(&command, dir).map_err(|e| {
        let error = anyhow::Error::new(e).context(format!("can't write manual pages into {}", dir.display()));
        Failure::Request {
            error,
            hint: Some("name a directory that exists and may be written to".to_owned()),
        }
    })?;
    context.say(&format!("{} in {}", count(written, "page"), dir.display()));
    Ok(())
}

/// Writes the page of a command and those of its own, and says how many. Files are called after the whole command.
fn write(command: &clap::Command, dir: &Path) -> io::Result<usize> {
    Man::new(command.clone()).generate_to(dir)?;
    let mut written = 1;
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        written += write(sub, dir)?;
    }
    Ok(written)
}
