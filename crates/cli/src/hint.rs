//! The next step after an error.

use landfall_book::device::NameError;
use landfall_book::import::{Fault, ImportError};
use landfall_book::{BookError, LookupError, StoreError};
use landfall_cloud::StartError;
use landfall_cloud::control::{ClientError, ControlError};
use landfall_cloud::journal::JournalError;
use landfall_hub::client::ClientError as HubError;
use landfall_hub::settings::SettingsError;
use landfall_proto::schema::MisfitError;
use landfall_sim::SimError;
use landfall_sim::home::HomeError;

/// A hint for the innermost error of the chain that has one.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    error.chain().rev().find_map(of_cause)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    None.or_else(|| cause.downcast_ref().and_then(import))
        .or_else(|| cause.downcast_ref().map(lookup))
        .or_else(|| cause.downcast_ref().and_then(book))
        .or_else(|| cause.downcast_ref().and_then(name))
        .or_else(|| cause.downcast_ref().and_then(store))
        .or_else(|| cause.downcast_ref().map(misfit))
        .or_else(|| cause.downcast_ref().and_then(simulation))
        .or_else(|| cause.downcast_ref().and_then(home_file))
        .or_else(|| cause.downcast_ref().and_then(cloud_start))
        .or_else(|| cause.downcast_ref().and_then(cloud_client))
        .or_else(|| cause.downcast_ref().map(settings))
        .or_else(|| cause.downcast_ref().and_then(hub))
        .or_else(|| cause.downcast_ref::<ControlError>().map(|_| OWN_DIRECTORY.to_owned()))
}

/// `"a", "b" or "c"`.
pub(crate) fn any_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("{one:?}"),
        [many @ .., last] => {
            let many: Vec<String> = many.iter().map(|w| format!("{w:?}")).collect();
            format!("{} or {last:?}", many.join(", "))
        }
    }
}

fn settings(e: &SettingsError) -> String {
    match e {
        SettingsError::Unknown { near: Some(near), .. } => format!("did you mean {near}?"),
        SettingsError::Read { .. } => "name the file of settings with --config, or leave it out".to_owned(),
        _ => "`landfall config default` shows every setting with its default".to_owned(),
    }
}

fn hub(e: &HubError) -> Option<String> {
    match e {
        HubError::NotRunning { .. } => {
            Some("start it with `landfall run`; --data-dir must be the same".to_owned())
        }
        HubError::Unreachable { .. } => Some(OWN_DIRECTORY.to_owned()),
        HubError::Connection(_) => Some("it may have ended just now; try again".to_owned()),
        HubError::Answer(_) => {
            Some("the running hub is of another version: end it and start it anew".to_owned())
        }
        HubError::Refused { hint, .. } => hint.clone(),
    }
}

fn lookup(e: &LookupError) -> String {
    match e {
        LookupError::Unknown { known: 0, .. } => {
            "there are no devices yet: take them over with `landfall device import devices.json`, \
             or add one with `landfall device add`"
                .to_owned()
        }
        LookupError::Unknown { near, .. } if !near.is_empty() => format!("did you mean {}?", any_of(near)),
        LookupError::Unknown { .. } => "`landfall device list` shows the devices there are".to_owned(),
        LookupError::Ambiguous { .. } => "use the id, or give them different names".to_owned(),
    }
}

fn name(e: &NameError) -> Option<String> {
    matches!(e, NameError::Taken { .. })
        .then(|| "names are unique whatever the case of their letters; choose another one".to_owned())
}

fn book(e: &BookError) -> Option<String> {
    match e {
        BookError::Exists { .. } => Some("add --update to change it, or remove it first".to_owned()),
        BookError::HasChildren { .. } => Some("remove its sub-devices first".to_owned()),
        BookError::Clash(_) => Some(
            "somebody changed the file by hand; take one of the two out of it with a text editor".to_owned(),
        ),
        BookError::Unused(_) => {
            Some("remove those that are nobody's with `landfall device remove NAME`".to_owned())
        }
        BookError::Person(_) => Some("choose another name".to_owned()),
        BookError::Full(_) => Some("remove some first".to_owned()),
        BookError::Name(e) => name(e),
        BookError::Lookup(e) => Some(lookup(e)),
    }
}

fn store(e: &StoreError) -> Option<String> {
    match e {
        StoreError::Newer { .. } => Some(
            "it was written by a newer landfall: upgrade this one; the file was left untouched".to_owned(),
        ),
        StoreError::Damaged { .. } => {
            Some("restore it from a backup or mend it by hand; it was left untouched".to_owned())
        }
        StoreError::Locked { .. } => {
            Some("try again when the other landfall has finished (a running hub keeps the book)".to_owned())
        }
        StoreError::ReadOnly { .. } => {
            Some("leave --devices out and import the file with `landfall device import FILE`".to_owned())
        }
        StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Some("name a directory of your own with --data-dir or LANDFALL_DATA_DIR".to_owned())
        }
        // Transparent wrappers don't show up as causes of their own.
        StoreError::Import(e) => import(e),
        StoreError::Refused(e) => book(e),
        _ => None,
    }
}

fn import(e: &ImportError) -> Option<String> {
    match e {
        ImportError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Some("tinytuya's wizard writes devices.json into the directory it was started in".to_owned())
        }
        ImportError::Syntax { .. } => Some("check brackets, commas and quotes there; nothing was changed".to_owned()),
        ImportError::Shape { .. } => Some(
            "known forms: tinytuya's devices.json and snapshot.json, tuya-cli's wizard list, tuya-cloudcutter's deviceconfig; nothing was changed"
                .to_owned(),
        ),
        ImportError::Entry { fault: f, .. } => Some(fault(f)),
        _ => None,
    }
}

fn fault(f: &Fault) -> String {
    let what = match f {
        Fault::Key(_) => {
            "copy the key again, all of its 16 characters; take care of quotes, backslashes and & ; < > in it"
        }
        Fault::CloudKey(_) => "copy the key again, or leave it out",
        Fault::Id(_) | Fault::Missing | Fault::Twice(_) => {
            "each device needs its own id, 20 or 22 letters and digits"
        }
        Fault::Version(_) => "leave the version out when it is not known; it is found out",
        Fault::Address(_) => "leave the address out when it is not known; it is looked for",
        Fault::Port(_) => "leave the port out; devices listen on 6668",
        Fault::Mapping(_) => "leave the mapping out when it can't be mended; points then go by their numbers",
        Fault::Name(_) | Fault::Type { .. } | Fault::OwnParent => "mend the entry",
    };
    format!("{what}; nothing was changed")
}

fn misfit(e: &MisfitError) -> String {
    match e {
        MisfitError::UnknownPoint { .. } => "`landfall get DEVICE` shows the points it reports".to_owned(),
        MisfitError::ReadOnly { .. } => "the device reports it, but takes no value for it".to_owned(),
        MisfitError::WrongType { want, .. } => format!("give {}", example(want)),
        MisfitError::OutOfRange { .. } => "nothing was sent".to_owned(),
    }
}

fn example(kind: &str) -> &'static str {
    match kind {
        "bool" => "on or off (true, false)",
        "value" => "a whole number",
        "bitmap" => "a whole number, a bit for each label",
        "raw" => "base64 text",
        _ => "text",
    }
}

fn simulation(e: &SimError) -> Option<String> {
    match e {
        SimError::AddressBusy { address, .. } => Some(format!(
            "another simulation or program listens on {address}; end it, or give the device another address \
             in the home file (port 0 takes any free one)"
        )),
        SimError::Listen { .. } => Some(
            "give the device an address of this machine in the home file, such as 127.0.0.1:0".to_owned(),
        ),
        _ => None,
    }
}

fn home_file(e: &HomeError) -> Option<String> {
    match e {
        HomeError::Read { .. } => Some("leave --home out to simulate the built-in home".to_owned()),
        HomeError::Syntax { .. } | HomeError::Field { .. } => {
            Some("mend the home file; the comments of the built-in one explain every key".to_owned())
        }
    }
}

const OWN_DIRECTORY: &str = "name a directory of your own with --data-dir or LANDFALL_DATA_DIR";

fn cloud_start(e: &StartError) -> Option<String> {
    match e {
        StartError::Busy { option, .. } => Some(format!(
            "another program listens there, perhaps another landfall: choose another address with {option} ADDR:PORT, \
             or do without: {option} off"
        )),
        StartError::Forbidden { address, option, .. } => Some(format!(
            "ports below 1024 want a permission: sudo setcap cap_net_bind_service=+ep \"$(command -v landfall)\"; \
             or take another one: {option} {}:{}",
            address.ip(),
            8_000 + u32::from(address.port())
        )),
        StartError::Listen { option, .. } => Some(format!(
            "{option} takes an address of this machine; 0.0.0.0 is all of them"
        )),
        StartError::Journal(JournalError::InUse { .. }) => {
            Some("end the other one, or give this one a directory of its own with --data-dir".to_owned())
        }
        StartError::Journal(JournalError::Io { .. }) | StartError::Directory { .. } => {
            Some(OWN_DIRECTORY.to_owned())
        }
        StartError::Name(_) => Some("give --advertise an IP address, or a name without port".to_owned()),
        StartError::Authority(_) => Some(
            "restore <data>/ca from a backup, or start anew with `landfall cloud ca --renew`; devices that trusted the \
             old one must be told anew"
                .to_owned(),
        ),
        StartError::Zone(_) => Some(
            "give --time-zone a name of the time zone database (Debian package tzdata), or leave it out: devices are \
             then told this machine's"
                .to_owned(),
        ),
        StartError::Tls(_) | StartError::Ended(_) => None,
    }
}

fn cloud_client(e: &ClientError) -> Option<String> {
    match e {
        ClientError::NotRunning { .. } => {
            Some("start it in another terminal with `landfall cloud`; --data-dir says where".to_owned())
        }
        ClientError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Some("the cloud runs as another user: be that user".to_owned())
        }
        ClientError::Io { .. } => Some("is the cloud ending? try again".to_owned()),
        ClientError::Refused(_) => None,
    }
}
