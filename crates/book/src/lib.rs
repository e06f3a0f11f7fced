//! Who our devices are: identities, keys and their history; imports and exports.
