//! The default file, with every key explained: what `landfall config default` prints.

/// A file that says what is so without it. A test reads it and compares.
pub const DEFAULT: &str = r#"# Landfall's settings. Every line here says what is so without it.
# A value can also be given by a variable (LANDFALL_PAGE_LISTEN) or an option (--set page.listen=...), which win over this file.
# Secrets never stand here: keys that end in _file name a file that holds one (mode 0600, or a systemd credential).

[home]
name = "Home"
# Rules days, months, tariffs and timers; "" is this machine's time zone.
time_zone = ""
# Price of a kWh; 0 shows no cost.
price = 0.0
currency = "EUR"
# How long a device may be gone before it is called offline.
grace = "20s"

[page]
# Page and API. Beyond 127.0.0.1 only with tls, or behind a proxy that encrypts.
listen = "127.0.0.1:8099"
# "off", "own" (certificate of Landfall's own authority) or "files".
tls = "off"
certificate_file = ""
key_file = ""
behind_proxy = false
# Names by which browsers may call it, beside this machine's own: ["landfall.home"].
hosts = []

[lan]
# Whether the hub connects to devices, and whether it listens for them.
enabled = true
discovery = true

[cloud]
# Whether the hub is the cloud that devices look for. Each server: "ADDR:PORT", a port of 127.0.0.1, or "off".
enabled = true
# What devices are told as our address; "" is the address that each of them reached us by.
advertise = ""
http = "127.0.0.1:8080"
https = "127.0.0.1:8443"
mqtt = "127.0.0.1:1883"
mqtts = "127.0.0.1:8883"
mqtt_psk = "127.0.0.1:8886"
dns = "127.0.0.1:5353"
# Whom DNS answers, such as ["192.168.1.0/24"]; [] are private addresses. Who is asked for other names; "" is nobody.
dns_clients = []
dns_forward = ""

[store]
# "sqlite" (a file) or "postgresql" (a server).
kind = "sqlite"
# SQLite: "" is history.db in the data directory.
file = ""
# PostgreSQL. tls: "verify", "require" or "off".
host = "127.0.0.1"
port = 5432
database = "landfall"
user = "landfall"
password_file = ""
tls = "verify"
# The authority that signs its certificate (PEM), where this system trusts none that does; for "verify".
ca_file = ""
# Every change is kept so many days; hours and days are kept for ever.
raw_days = 30

[mqtt]
# MQTT for people: "embedded" (on the cloud's MQTT ports), "external" (your broker) or "off".
broker = "embedded"
# First level of all topics.
base = "landfall"
# External broker.
host = "127.0.0.1"
port = 1883
user = ""
password_file = ""
tls = false
ca_file = ""
# Publish single points as well: BASE/NAME/dp/N.
raw_points = true
# Home Assistant finds the devices by itself: "device" (2024.12 and newer), "entity" (older ones) or "off".
discovery = "device"
discovery_prefix = "homeassistant"
"#;
