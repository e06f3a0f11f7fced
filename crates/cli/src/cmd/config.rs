//! `landfall config ...`, and where settings come from.

use std::path::PathBuf;

use landfall_hub::settings::{self, Settings};

use crate::args::run::{Config, Source};
use crate::context::{Context, variable};
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::out;

/// The file's name in the directories that are looked into.
const NAME: &str = "landfall.toml";

/// Checks, shows, explains.
pub(crate) fn run(context: &Context, c: Config) -> Outcome {
    match c {
        Config::Default => out::data(settings::DEFAULT),
        Config::Check(source) => {
            let (_, file) = read(&source)?;
            context.say(&match file {
                Some(file) => format!("{} is sound", file.display()),
                None => "there is no file of settings; the defaults are sound".to_owned(),
            });
            Ok(())
        }
        Config::Show(c) => {
            let (settings, _) = read(&c.source)?;
            if c.json.json {
                return out::json(&settings);
            }
            let text = toml::to_string(&settings).map_err(anyhow::Error::from);
            out::data(&text.map_err(|error| Failure::Request { error, hint: None })?)
        }
    }
}

/// The settings in force, and the file they came from.
///
/// # Errors
/// They are wrong.
pub(crate) fn read(source: &Source) -> Result<(Settings, Option<PathBuf>), Failure> {
    let file = file(source);
    // A name or value that is no Unicode is none of ours.
    let variables =
        std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    let settings = settings::read(file.as_deref(), variables, &source.set)?;
    Ok((settings, file))
}

fn file(source: &Source) -> Option<PathBuf> {
    if let Some(file) = source.config.clone().or_else(|| variable("LANDFALL_CONFIG").map(PathBuf::from)) {
        // Named by the owner: it must be there.
        return Some(file);
    }
    places().find(|f| f.is_file())
}

/// Where a file is looked for that nobody named.
fn places() -> impl Iterator<Item = PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let listed = variable("CONFIGURATION_DIRECTORY").and_then(|l| std::env::split_paths(&l).next());
    let xdg = absolute("XDG_CONFIG_HOME").map(|d| d.join("landfall"));
    let home = absolute("HOME").map(|d| d.join(".config/landfall"));
    [listed, xdg.or(home)].into_iter().flatten().map(|d| d.join(NAME))
}

/// Where the owner is to write settings while there is no file of them.
pub(crate) fn place() -> Option<PathBuf> {
    places().next()
}
