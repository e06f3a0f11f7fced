//! Virtual devices with stock-firmware behaviour: test double and demo.
