//! What proptest draws: versions, values, points, bodies, cuts.
#![allow(unreachable_pub)]

use landfall_proto::Role;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::Cid;
use landfall_proto::lan::Version;
use proptest::collection::vec;
use proptest::prelude::*;

pub fn version() -> impl Strategy<Value = Version> {
    proptest::sample::select(Version::ALL.to_vec())
}

pub fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Device)]
}

pub fn key() -> impl Strategy<Value = [u8; 16]> {
    proptest::array::uniform16(0x20u8..0x7f)
}

/// Texts with everything in them: quotes, controls, four-byte characters.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9_]{0,20}",
        vec(any::<char>(), 0..30).prop_map(|c| c.into_iter().collect()),
        Just("\"\\\u{0}\u{1}\n\u{7f}\u{e9}\u{20ac}\u{1f4a1}".to_owned()),
    ]
}

pub fn value() -> impl Strategy<Value = DpValue> {
    prop_oneof![
        any::<bool>().prop_map(DpValue::Bool),
        any::<i64>().prop_map(DpValue::Value),
        (-1000i64..1000).prop_map(DpValue::Value),
        text().prop_map(DpValue::text),
        text().prop_map(|t| DpValue::Enum(t.into())),
        vec(any::<u8>(), 0..60).prop_map(|b| DpValue::Raw(b.into())),
        any::<u32>().prop_map(DpValue::Bitmap),
        Just(DpValue::Json("[1,{\"a\":[null,true]},\"x\"]".into())),
        Just(DpValue::Json("1.5".into())),
        Just(DpValue::Json("{}".into())),
        Just(DpValue::Json("18446744073709551615".into())),
    ]
}

pub fn dps() -> impl Strategy<Value = Dps> {
    vec((any::<u16>(), value()), 0..20).prop_map(|v| v.into_iter().map(|(id, v)| (DpId(id), v)).collect())
}

pub fn cid() -> impl Strategy<Value = Option<Cid>> {
    proptest::option::of("[a-zA-Z0-9._:-]{1,64}".prop_map(|t| Cid::new(t).expect("of the right characters")))
}

/// Bytes that look like the protocol more often than chance would have it.
pub fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        2 => Just(vec![0, 0, 0x55, 0xaa]),
        2 => Just(vec![0, 0, 0x66, 0x99]),
        1 => Just(vec![0, 0, 0xaa, 0x55]),
        1 => Just(vec![0, 0, 0x99, 0x66]),
        1 => (0u32..80).prop_map(|n| n.to_be_bytes().to_vec()),
        1 => any::<u32>().prop_map(|n| n.to_be_bytes().to_vec()),
        // A head with a length that fits or does not.
        2 => (any::<u32>(), 0u32..70, 0u32..64).prop_map(|(seq, cmd, len)| {
            [&[0, 0, 0x55, 0xaa][..], &seq.to_be_bytes(), &cmd.to_be_bytes(), &len.to_be_bytes()].concat()
        }),
        2 => (any::<u32>(), 0u32..70, 20u32..64).prop_map(|(seq, cmd, len)| {
            let head = [&[0, 0, 0x66, 0x99, 0, 0][..], &seq.to_be_bytes()].concat();
            [&head[..], &cmd.to_be_bytes(), &len.to_be_bytes()].concat()
        }),
    ];
    vec(word, 0..12).prop_map(|words| words.concat())
}

/// Where a stream is cut into reads.
pub fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(1usize..60, 1..12)
}

/// The pieces of `bytes` between the cuts; the sizes are repeated to its end.
pub fn pieces<'a>(bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    let mut sizes = cuts.iter().cycle();
    std::iter::from_fn(move || {
        let n = (*sizes.next()?).min(rest.len());
        let (piece, more) = rest.split_at(n);
        rest = more;
        (!piece.is_empty()).then_some(piece)
    })
}
