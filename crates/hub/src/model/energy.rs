//! Energy accounts.

use serde_json::{Map, Value};

/// Energy in thousandths of a watt hour. Whole numbers, so that sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilliWattHours(pub i64);

impl MilliWattHours {
    /// In kWh, for people.
    #[allow(clippy::cast_precision_loss)] // 2^53 mWh are nine thousand GWh
    pub fn kwh(self) -> f64 {
        self.0 as f64 / 1_000_000.0
    }
}

/// The energy account of a device. Never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EnergyView {
    /// Since counting began.
    pub total: MilliWattHours,
    /// Today, in the home's time zone.
    pub today: MilliWattHours,
    /// Yesterday.
    pub yesterday: MilliWattHours,
    /// This month.
    pub month: MilliWattHours,
    /// The same total by integrating watts: a cross-check, not an account.
    pub integrated: MilliWattHours,
    /// Deltas that came over the line that does not own the delta point: counted, not added.
    pub copies: u64,
    /// Apparent power, thousandths of a volt-ampere: volts times amperes.
    pub apparent_mva: Option<i64>,
    /// Power factor in thousandths: watts over volt-amperes.
    pub power_factor_milli: Option<i64>,
    /// Cost of today and of the month in thousandths of the currency, where a tariff is set.
    pub cost: Option<Cost>,
}

/// What energy cost, in thousandths of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Today.
    pub today_milli: i64,
    /// This month.
    pub month_milli: i64,
}

impl EnergyView {
    /// Puts `energy`, `energy_today`, `energy_month` (kWh), `apparent_power` (VA) and `power_factor` into a state.
    #[allow(clippy::cast_precision_loss)] // readings of a plug
    pub fn write_into(&self, state: &mut Map<String, Value>) {
        let mut put = |name: &str, value: f64| {
            state.insert(name.to_owned(), Value::from(value));
        };
        put("energy", self.total.kwh());
        put("energy_today", self.today.kwh());
        put("energy_month", self.month.kwh());
        if let Some(va) = self.apparent_mva {
            put("apparent_power", va as f64 / 1_000.0);
        }
        if let Some(factor) = self.power_factor_milli {
            put("power_factor", factor as f64 / 1_000.0);
        }
    }
}
