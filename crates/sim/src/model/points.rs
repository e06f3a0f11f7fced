//! The points of a device with the changes that wait to be reported.

use landfall_proto::dp::{DpId, DpValue, Dps};

use crate::product::Product;

/// Reported values, and which of them changed since the last report.
#[derive(Clone, Debug)]
pub struct Points {
    product: &'static Product,
    values: Dps,
    changed: Dps,
}

impl Points {
    /// A device that left the box.
    pub fn new(product: &'static Product) -> Self {
        Self { product, values: product.first_values(), changed: Dps::new() }
    }

    /// The product.
    pub fn product(&self) -> &'static Product {
        self.product
    }

    /// All values as a query shows them. Write-only points are not among them.
    pub fn values(&self) -> &Dps {
        &self.values
    }

    /// One value.
    pub fn value(&self, dp: DpId) -> Option<&DpValue> {
        self.values.value(dp)
    }

    /// A switch; false where there is none.
    pub fn bool(&self, dp: DpId) -> bool {
        matches!(self.value(dp), Some(DpValue::Bool(true)))
    }

    /// A number; 0 where there is none.
    pub fn number(&self, dp: DpId) -> i64 {
        match self.value(dp) {
            Some(DpValue::Value(n)) => *n,
            _ => 0,
        }
    }

    /// A word or text; empty where there is none.
    pub fn word(&self, dp: DpId) -> &str {
        match self.value(dp) {
            Some(DpValue::Enum(t) | DpValue::String(t)) => t,
            _ => "",
        }
    }

    /// Sets a point that the product has. A value that differs is reported; the same value is not (lan.md 5.3.2).
    pub fn set(&mut self, dp: DpId, value: DpValue) {
        if self.value(dp).is_some_and(|have| !have.same_on_wire(&value)) {
            self.report(dp, value);
        }
    }

    /// Sets a point that the product has and reports it even when it is the same: increments and events.
    pub fn report(&mut self, dp: DpId, value: DpValue) {
        if self.value(dp).is_some() {
            self.values.insert(dp, value.clone());
            self.changed.insert(dp, value);
        }
    }

    /// Whether a report is due.
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What changed, for the report.
    pub fn take_changes(&mut self) -> Dps {
        std::mem::take(&mut self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn only_differences_are_reported_and_the_last_value_wins() {
        let mut points = Points::new(Product::of(Kind::Switch22));
        points.set(DpId(1), DpValue::Bool(false));
        assert!(!points.has_changes());
        points.set(DpId(1), DpValue::Bool(true));
        points.set(DpId(9), DpValue::Value(10));
        points.set(DpId(9), DpValue::Value(5));
        points.set(DpId(55), DpValue::Value(5));
        points.report(DpId(10), DpValue::Value(0));
        let changes = points.take_changes();
        assert_eq!(serde_json::to_string(&changes).unwrap(), r#"{"1":true,"9":5,"10":0}"#);
        assert!(!points.has_changes());
        assert_eq!(points.value(DpId(55)), None);
    }
}
