//! The tables. Ids, scales and words: lan.md 8; product ids and names are invented.

use landfall_proto::lan::Version::{V3_1, V3_2, V3_3, V3_4, V3_5};
use landfall_proto::schema::Access::{Ro, Rw, Wr};

use super::{First, Point, Product, Shape};
use crate::kind::Kind;

const fn switch(id: u16, code: &'static str, on: bool) -> Point {
    Point { id, code, shape: Shape::Bool, access: Rw, action: false, first: First::Bool(on) }
}

const fn countdown(id: u16, code: &'static str) -> Point {
    let shape = Shape::Value { min: 0, max: 86_400, step: 1, scale: 0, unit: "s" };
    Point { id, code, shape, access: Rw, action: false, first: First::Value(0) }
}

const fn number(
    id: u16,
    code: &'static str,
    range: (i64, i64, i64),
    scale: u8,
    unit: &'static str,
    first: i64,
) -> Point {
    let shape = Shape::Value { min: range.0, max: range.1, step: range.2, scale, unit };
    Point { id, code, shape, access: Rw, action: false, first: First::Value(first) }
}

const fn reading(id: u16, code: &'static str, max: i64, scale: u8, unit: &'static str, first: i64) -> Point {
    let shape = Shape::Value { min: 0, max, step: 1, scale, unit };
    Point { id, code, shape, access: Ro, action: false, first: First::Value(first) }
}

const fn words(id: u16, code: &'static str, words: &'static [&'static str], first: &'static str) -> Point {
    Point { id, code, shape: Shape::Enum(words), access: Rw, action: false, first: First::Word(first) }
}

const fn text(id: u16, code: &'static str, max: usize, first: &'static str) -> Point {
    Point { id, code, shape: Shape::Text(max), access: Rw, action: false, first: First::Text(first) }
}

const fn colour(id: u16, code: &'static str, max: i64, first: &'static str) -> Point {
    Point { id, code, shape: Shape::Colour(max), access: Rw, action: false, first: First::Text(first) }
}

const fn faults(id: u16, labels: &'static [&'static str]) -> Point {
    Point {
        id,
        code: "fault",
        shape: Shape::Bitmap(labels),
        access: Ro,
        action: false,
        first: First::Value(0),
    }
}

const fn read_only(mut point: Point) -> Point {
    point.access = Ro;
    point
}

const fn write_only(mut point: Point) -> Point {
    point.access = Wr;
    point.first = First::Nothing;
    point
}

const fn acting(mut point: Point) -> Point {
    point.action = true;
    point
}

pub(super) static PLUG_OLD: Product = Product {
    kind: Kind::PlugOld,
    id: "lfplugold0000001",
    name: "Landfall Metering Plug, first generation",
    category: "cz",
    versions: &[V3_1, V3_3],
    clients: 1,
    points: &[
        switch(1, "switch_1", true),
        countdown(2, "countdown_1"),
        reading(4, "cur_current", 30_000, 0, "mA", 0),
        reading(5, "cur_power", 50_000, 1, "W", 0),
        reading(6, "cur_voltage", 3_000, 1, "V", 0),
    ],
};

pub(super) static PLUG_OLD_USB: Product = Product {
    kind: Kind::PlugOldUsb,
    id: "lfplugusb0000001",
    name: "Landfall Metering Plug with USB, first generation",
    category: "cz",
    versions: &[V3_1, V3_3],
    clients: 1,
    points: &[
        switch(1, "switch_1", true),
        countdown(2, "countdown_1"),
        reading(4, "cur_current", 30_000, 0, "mA", 0),
        reading(5, "cur_power", 50_000, 1, "W", 0),
        reading(6, "cur_voltage", 3_000, 1, "V", 0),
        switch(7, "switch_usb1", true),
        countdown(11, "countdown_usb1"),
        number(101, "maker_101", (0, 255, 1), 0, "", 0),
    ],
};

pub(super) static PLUG: Product = Product {
    kind: Kind::Plug,
    id: "lfplug0000000001",
    name: "Landfall Metering Plug",
    category: "cz",
    versions: &[V3_3, V3_4, V3_5],
    clients: 3,
    points: &[
        switch(1, "switch_1", true),
        countdown(9, "countdown_1"),
        reading(17, "add_ele", 50_000, 3, "kW·h", 0),
        reading(18, "cur_current", 30_000, 0, "mA", 0),
        reading(19, "cur_power", 80_000, 1, "W", 0),
        reading(20, "cur_voltage", 5_000, 1, "V", 0),
        reading(21, "test_bit", 5, 0, "", 1),
        reading(22, "voltage_coe", 1_000_000, 0, "", 638),
        reading(23, "electric_coe", 1_000_000, 0, "", 31_090),
        reading(24, "power_coe", 1_000_000, 0, "", 17_083),
        reading(25, "electricity_coe", 1_000_000, 0, "", 1_165),
        faults(26, &["ov_cr", "ov_vol", "ov_pwr", "ls_cr", "ls_vol", "ls_pow"]),
        words(38, "relay_status", &["power_off", "power_on", "last"], "last"),
        switch(39, "overcharge_switch", false),
        words(40, "light_mode", &["relay", "pos", "none", "on"], "relay"),
        switch(41, "child_lock", false),
        text(42, "cycle_time", 255, ""),
        text(43, "random_time", 255, ""),
        text(44, "switch_inching", 255, ""),
    ],
};

pub(super) static SWITCH22: Product = Product {
    kind: Kind::Switch22,
    id: "lfswitch22000001",
    name: "Landfall Two-Gang Wall Switch",
    category: "kg",
    versions: &[V3_2],
    clients: 1,
    points: &[
        switch(1, "switch_1", false),
        switch(2, "switch_2", false),
        countdown(9, "countdown_1"),
        countdown(10, "countdown_2"),
    ],
};

pub(super) static BULB_OLD: Product = Product {
    kind: Kind::BulbOld,
    id: "lfbulbold0000001",
    name: "Landfall RGB+CCT Bulb, first generation",
    category: "dj",
    versions: &[V3_3, V3_1],
    clients: 1,
    points: &[
        switch(1, "switch_led", true),
        words(
            2,
            "work_mode",
            &["white", "colour", "scene", "scene_1", "scene_2", "scene_3", "scene_4", "music"],
            "white",
        ),
        number(3, "bright_value", (25, 255, 1), 0, "", 255),
        number(4, "temp_value", (0, 255, 1), 0, "", 128),
        colour(5, "colour_data", 255, "ff000000006464"),
        text(6, "scene_data", 255, "00ff0000000000"),
        text(7, "flash_scene_1", 255, "ffff500100ff00"),
        text(8, "flash_scene_2", 255, "ffff8003ff000000ff000000ff000000000000000000"),
    ],
};

pub(super) static BULB: Product = Product {
    kind: Kind::Bulb,
    id: "lfbulb0000000001",
    name: "Landfall RGB+CCT Bulb",
    category: "dj",
    versions: &[V3_3, V3_4, V3_5],
    clients: 3,
    points: &[
        switch(20, "switch_led", true),
        words(21, "work_mode", &["white", "colour", "scene", "music"], "white"),
        number(22, "bright_value_v2", (10, 1_000, 1), 0, "", 1_000),
        number(23, "temp_value_v2", (0, 1_000, 1), 0, "", 500),
        colour(24, "colour_data_v2", 1_000, "000003e803e8"),
        text(25, "scene_data_v2", 255, "000e0d0000000000000000c80000"),
        countdown(26, "countdown_1"),
        write_only(text(27, "music_data", 255, "")),
        write_only(text(28, "control_data", 255, "")),
        switch(34, "do_not_disturb", false),
    ],
};

pub(super) static COVER: Product = Product {
    kind: Kind::Cover,
    id: "lfcover000000001",
    name: "Landfall Curtain Motor",
    category: "cl",
    versions: &[V3_3, V3_4],
    clients: 1,
    points: &[
        words(1, "control", &["open", "stop", "close"], "stop"),
        number(2, "percent_control", (0, 100, 1), 0, "%", 0),
        reading(3, "percent_state", 100, 0, "%", 0),
        words(5, "control_back_mode", &["forward", "back"], "forward"),
        read_only(words(7, "work_state", &["opening", "closing", "standby"], "standby")),
        faults(12, &["motor_fault"]),
    ],
};

pub(super) static THERMOSTAT: Product = Product {
    kind: Kind::Thermostat,
    id: "lfthermo00000001",
    name: "Landfall Room Thermostat",
    category: "wk",
    versions: &[V3_3, V3_4, V3_5],
    clients: 3,
    points: &[
        switch(1, "switch", true),
        number(2, "temp_set", (50, 350, 5), 1, "℃", 210),
        reading(3, "temp_current", 990, 1, "℃", 195),
        words(4, "mode", &["manual", "auto", "holiday"], "manual"),
        switch(7, "child_lock", false),
        faults(12, &["e1", "e2", "e3"]),
        read_only(words(36, "valve_state", &["open", "close"], "close")),
    ],
};

pub(super) static GATEWAY: Product = Product {
    kind: Kind::Gateway,
    id: "lfgateway0000001",
    name: "Landfall Zigbee Gateway",
    category: "wg2",
    versions: &[V3_4, V3_3, V3_5],
    clients: 3,
    points: &[],
};

pub(super) static BATTERY_SENSOR: Product = Product {
    kind: Kind::BatterySensor,
    id: "lfsensor00000001",
    name: "Landfall Temperature and Humidity Sensor",
    category: "wsdcg",
    versions: &[V3_3, V3_4, V3_5],
    clients: 1,
    points: &[
        reading(1, "va_temperature", 600, 1, "℃", 208),
        reading(2, "va_humidity", 100, 0, "%", 48),
        reading(4, "battery_percentage", 100, 0, "%", 94),
    ],
};

pub(super) static FEEDER: Product = Product {
    kind: Kind::Feeder,
    id: "lffeeder00000001",
    name: "Landfall Pet Feeder",
    category: "cwwsq",
    versions: &[V3_4, V3_3, V3_5],
    clients: 3,
    points: &[
        text(1, "meal_plan", 255, ""),
        acting(write_only(number(3, "manual_feed", (1, 12, 1), 0, "", 1))),
        read_only(words(4, "feed_state", &["standby", "feeding", "done"], "standby")),
        faults(14, &["desiccant_exhausted", "pet_food_short", "pet_food_jam"]),
        reading(15, "feed_report", 12, 0, "", 0),
        switch(19, "light", false),
    ],
};

pub(super) static FAN: Product = Product {
    kind: Kind::Fan,
    id: "lffan00000000001",
    name: "Landfall Fan",
    category: "fs",
    versions: &[V3_3, V3_4],
    clients: 3,
    points: &[
        switch(1, "switch", false),
        words(2, "mode", &["normal", "nature", "sleep"], "normal"),
        words(3, "fan_speed_enum", &["low", "middle", "high"], "low"),
        switch(5, "fan_horizontal", false),
        words(8, "fan_direction", &["forward", "reverse"], "forward"),
    ],
};

pub(super) static DIMMER: Product = Product {
    kind: Kind::Dimmer,
    id: "lfdimmer00000001",
    name: "Landfall Dimmer",
    category: "tgkg",
    versions: &[V3_3, V3_5],
    clients: 3,
    points: &[
        switch(1, "switch_led_1", true),
        number(2, "bright_value_1", (10, 1_000, 1), 0, "", 1_000),
        number(3, "brightness_min_1", (10, 1_000, 1), 0, "", 10),
        words(4, "led_type_1", &["LED", "incandescent", "halogen"], "LED"),
        words(14, "relay_status", &["off", "on", "memory"], "memory"),
        words(21, "light_mode", &["none", "relay", "pos"], "relay"),
    ],
};

pub(super) static INFRARED: Product = Product {
    kind: Kind::Infrared,
    id: "lfinfrared000001",
    name: "Landfall Infrared Blaster",
    category: "wnykq",
    versions: &[V3_3],
    clients: 2,
    points: &[acting(text(201, "ir_send", 3_072, "")), read_only(text(202, "ir_study_code", 3_072, ""))],
};
