//! One query in, one answer out. No sockets and no clock: what a query is answered with depends on its bytes and on the
//! addresses we stand under.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::LazyLock;

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::names::{self, Kind};

/// How long an answer may be kept, in seconds: short, so that devices follow when Landfall moves.
pub const TTL: u32 = 60;

/// The largest answer over UDP, to those who say that they take this much: fits into every network unfragmented
/// (DNS flag day 2020).
pub const UDP_LIMIT: u16 = 1_232;

/// The largest answer over UDP to those who say nothing (RFC 1035 4.2.1).
const UDP_LIMIT_PLAIN: u16 = 512;

/// The addresses we stand under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// What A records tell.
    pub v4: Option<Ipv4Addr>,
    /// What AAAA records tell.
    pub v6: Option<Ipv6Addr>,
}

/// What was read.
#[derive(Debug)]
pub enum Read {
    /// Not to be answered: no header, or itself an answer, to which an answer would make a loop.
    Ignore,
    /// To be answered with this, whoever asks: a message we can't read or don't serve.
    Fault(Vec<u8>),
    /// A question.
    Question(Box<Question>),
}

/// A well-formed question.
#[derive(Clone, Debug)]
pub struct Question {
    metadata: Metadata,
    query: Query,
    edns: Option<Edns>,
    zone: Option<&'static (Name, names::Zone)>,
    /// Lower case, without the dot at the end; bytes that don't belong into host names are escaped.
    pub name: String,
    /// What the name is to us.
    pub kind: Kind,
}

static ZONES: LazyLock<Vec<(Name, names::Zone)>> = LazyLock::new(|| {
    let zones = names::zones().iter();
    zones.filter_map(|zone| Some((Name::from_str(&zone.name).ok()?, zone.clone()))).collect()
});

/// Reads one message. `own`: the name that devices were told as ours, if it is a name.
pub fn read(bytes: &[u8], own: Option<&Name>) -> Read {
    let Ok(Header { metadata, counts }) = Header::read(&mut BinDecoder::new(bytes)) else {
        return Read::Ignore;
    };
    if metadata.message_type == MessageType::Response {
        return Read::Ignore;
    }
    if metadata.op_code != OpCode::Query {
        return fault(&metadata, ResponseCode::NotImp);
    }
    // Checked before the rest is read: the decoder makes room for as many questions as the header announces.
    if counts.queries != 1 {
        return fault(&metadata, ResponseCode::FormErr);
    }
    let Ok(message) = Message::from_vec(bytes) else {
        return fault(&metadata, ResponseCode::FormErr);
    };
    let edns = message.edns;
    let Some(query) = message.queries.into_iter().next() else {
        return fault(&metadata, ResponseCode::FormErr);
    };
    let zone = ZONES.iter().find(|(zone, _)| zone.zone_of(query.name()));
    let mut name = query.name().to_ascii().to_ascii_lowercase();
    if name.len() > 1 && name.ends_with('.') {
        name.pop();
    }
    let kind = if zone.is_some() {
        Kind::Vendor
    } else if own.is_some_and(|own| own == query.name()) {
        Kind::Own
    } else {
        match names::kind(&name) {
            // `zone_of` goes by labels and is right where text is not: a dot inside of a label.
            Kind::Vendor | Kind::Like => Kind::Like,
            other => other,
        }
    };
    let question = Question { metadata, query, edns, zone, name, kind };
    match &question.edns {
        Some(edns) if edns.version() > 0 => Read::Fault(question.fail(ResponseCode::BADVERS)),
        _ if question.query.query_class() != DNSClass::IN
            && question.query.query_class() != DNSClass::ANY =>
        {
            Read::Fault(question.fail(ResponseCode::Refused))
        }
        _ => Read::Question(Box::new(question)),
    }
}

/// An answer of nothing but a header, for what could not be read further.
fn fault(asked: &Metadata, code: ResponseCode) -> Read {
    let mut message = Message::error_msg(asked.id, asked.op_code, code);
    message.metadata.recursion_desired = asked.recursion_desired;
    message.to_vec().map_or(Read::Ignore, Read::Fault)
}

impl Question {
    /// The type asked for.
    pub fn record_type(&self) -> RecordType {
        self.query.query_type()
    }

    /// The question as it stands in the message.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The number that the answer has to bear.
    pub fn id(&self) -> u16 {
        self.metadata.id
    }

    /// How many bytes the answer may have over UDP.
    pub fn udp_limit(&self) -> usize {
        let limit = self.edns.as_ref().map_or(UDP_LIMIT_PLAIN, Edns::max_payload);
        usize::from(limit.clamp(UDP_LIMIT_PLAIN, UDP_LIMIT))
    }

    /// The answer that tells our addresses; without a record where there is none of the type, so that nobody waits and
    /// nobody asks elsewhere. ANY gets addresses only (RFC 8482 4.1).
    pub fn answer(&self, ours: &Ours) -> Vec<u8> {
        let mut message = self.reply(ResponseCode::NoError);
        message.metadata.authoritative = true;
        let asked = self.record_type();
        let wants = |rtype| asked == rtype || asked == RecordType::ANY;
        let mut add = |data| {
            message.add_answer(Record::from_rdata(self.query.name().clone(), TTL, data));
        };
        if let Some(v4) = ours.v4.filter(|_| wants(RecordType::A)) {
            add(RData::A(A(v4)));
        }
        if let Some(v6) = ours.v6.filter(|_| wants(RecordType::AAAA)) {
            add(RData::AAAA(AAAA(v6)));
        }
        if message.answers.is_empty() {
            let soa = self.soa();
            if asked == RecordType::SOA && *self.query.name() == soa.name {
                message.add_answer(soa);
            } else {
                // Lets resolvers between the device and us keep the "nothing" (RFC 2308 2.2).
                message.add_authority(soa);
            }
        }
        self.bytes(&message)
    }

    /// An answer without records.
    pub fn fail(&self, code: ResponseCode) -> Vec<u8> {
        self.bytes(&self.reply(code))
    }

    /// An answer that says: ask again over TCP.
    pub fn truncated(&self) -> Vec<u8> {
        let mut message = self.reply(ResponseCode::NoError);
        message.metadata.truncation = true;
        self.bytes(&message)
    }

    /// The same question for another server, under another number. Of EDNS only the size and the DNSSEC bit go along:
    /// cookies and the like are between two neighbours.
    pub fn forwarded(&self, id: u16) -> Option<Vec<u8>> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = self.metadata.recursion_desired;
        message.metadata.checking_disabled = self.metadata.checking_disabled;
        message.metadata.authentic_data = self.metadata.authentic_data;
        message.add_query(self.query.clone());
        message.edns = self.own_edns(u16::try_from(self.udp_limit()).unwrap_or(UDP_LIMIT));
        message.to_vec().ok()
    }

    /// Whether these bytes answer this question under this number.
    pub fn is_answered_by(&self, bytes: &[u8], id: u16) -> bool {
        let mut decoder = BinDecoder::new(bytes);
        let Ok(Header { metadata, counts }) = Header::read(&mut decoder) else {
            return false;
        };
        if metadata.id != id || metadata.message_type != MessageType::Response || counts.queries != 1 {
            return false;
        }
        let Ok(answered) = Query::read(&mut decoder) else {
            return false;
        };
        metadata.op_code == OpCode::Query
            && answered.name() == self.query.name()
            && answered.query_type() == self.query.query_type()
            && answered.query_class() == self.query.query_class()
    }

    fn reply(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.metadata.id, OpCode::Query);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.response_code = code;
        // As every router's DNS says: some resolvers give up on a server that doesn't.
        message.metadata.recursion_available = true;
        message.add_query(self.query.clone());
        message.edns = self.own_edns(UDP_LIMIT);
        message
    }

    /// Our EDNS, where the question has any.
    fn own_edns(&self, max_payload: u16) -> Option<Edns> {
        self.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(max_payload);
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        })
    }

    /// The record that says where the zone begins and how long a "nothing" may be kept.
    fn soa(&self) -> Record {
        let name = self.query.name();
        let apex = match self.zone {
            // In the letters of the question, so that it takes two bytes.
            Some((zone, _)) => name.trim_to(usize::from(zone.num_labels())),
            None => name.clone(),
        };
        let soa = SOA::new(apex.clone(), apex.clone(), 1, 3_600, 600, 86_400, TTL);
        Record::from_rdata(apex, TTL, RData::SOA(soa))
    }

    fn bytes(&self, message: &Message) -> Vec<u8> {
        // What came in as a question goes out as one; there is nothing else in it that could fail to be written.
        message.to_vec().unwrap_or_else(|error| {
            tracing::error!(%error, "an answer could not be written");
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: Ours = Ours { v4: Some(Ipv4Addr::new(192, 168, 1, 5)), v6: None };

    fn query(name: &str, rtype: RecordType) -> Message {
        let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
        message
    }

    fn question(message: &Message) -> Question {
        let own = Name::from_str("landfall.lan.").unwrap();
        match read(&message.to_vec().unwrap(), Some(&own)) {
            Read::Question(question) => *question,
            other => panic!("no question: {other:?}"),
        }
    }

    fn answered(message: &Message, ours: &Ours) -> Message {
        Message::from_vec(&question(message).answer(ours)).unwrap()
    }

    fn fault(bytes: &[u8]) -> Message {
        match read(bytes, None) {
            Read::Fault(answer) => Message::from_vec(&answer).unwrap(),
            other => panic!("no fault: {other:?}"),
        }
    }

    #[test]
    fn a_name_of_the_vendor_is_answered_with_our_address() {
        let answer = answered(&query("A1.TuyaUS.com.", RecordType::A), &OURS);
        assert_eq!(answer.id, 0x1234);
        assert_eq!(answer.response_code, ResponseCode::NoError);
        assert!(answer.authoritative && answer.recursion_desired && answer.recursion_available);
        assert!(!answer.truncation);
        assert_eq!(answer.queries[0].name().to_ascii(), "A1.TuyaUS.com.", "letters as they were asked");
        assert_eq!(answer.answers.len(), 1);
        assert_eq!(answer.answers[0].data, RData::A(A(Ipv4Addr::new(192, 168, 1, 5))));
        assert_eq!(answer.answers[0].ttl, TTL);
        assert!(answer.answers[0].name.eq_case(answer.queries[0].name()));
        assert!(answer.authorities.is_empty() && answer.additionals.is_empty() && answer.edns.is_none());
    }

    #[test]
    fn other_types_get_an_empty_answer_at_once() {
        for rtype in [RecordType::AAAA, RecordType::HTTPS, RecordType::SVCB, RecordType::TXT, RecordType::MX]
        {
            let answer = answered(&query("a1.tuyaus.com.", rtype), &OURS);
            assert_eq!(answer.response_code, ResponseCode::NoError, "{rtype}");
            assert!(answer.answers.is_empty(), "{rtype}");
            let soa = &answer.authorities[0];
            assert_eq!((soa.name.to_ascii().as_str(), soa.record_type()), ("tuyaus.com.", RecordType::SOA));
        }
    }

    #[test]
    fn both_families_are_told_where_both_are_ours() {
        let both = Ours { v4: OURS.v4, v6: Some("fd00::5".parse().unwrap()) };
        let v6 = answered(&query("a1.tuyaus.com.", RecordType::AAAA), &both);
        assert_eq!(v6.answers[0].data, RData::AAAA(AAAA("fd00::5".parse().unwrap())));
        let any = answered(&query("a1.tuyaus.com.", RecordType::ANY), &both);
        assert_eq!(any.answers.len(), 2);
        let only_v6 = Ours { v4: None, v6: both.v6 };
        assert!(answered(&query("a1.tuyaus.com.", RecordType::A), &only_v6).answers.is_empty());
    }

    #[test]
    fn the_start_of_a_zone_can_be_asked_for() {
        let apex = answered(&query("tuyaus.com.", RecordType::SOA), &OURS);
        assert_eq!(apex.answers[0].record_type(), RecordType::SOA);
        let below = answered(&query("a1.tuyaus.com.", RecordType::SOA), &OURS);
        assert!(below.answers.is_empty() && below.authorities[0].record_type() == RecordType::SOA);
    }

    #[test]
    fn names_are_told_apart() {
        for (name, kind) in [
            ("a1.tuyaus.com.", Kind::Vendor),
            ("tuyaus.com.", Kind::Vendor),
            ("LANDFALL.lan.", Kind::Own),
            ("x.landfall.lan.", Kind::Other),
            ("a1.tuyaafrica.com.", Kind::Like),
            ("pool.ntp.org.", Kind::Other),
            (".", Kind::Other),
        ] {
            assert_eq!(question(&query(name, RecordType::A)).kind, kind, "{name}");
        }
        // A dot inside of a label: this is a name below com, not below tuyaus.com.
        let trick = Name::from_labels([&b"x.tuyaus"[..], b"com"]).unwrap();
        let mut message = query("x.", RecordType::A);
        message.queries[0].set_name(trick);
        let trick = question(&message);
        assert_eq!(trick.kind, Kind::Like, "{}", trick.name);
        assert_eq!(question(&query("A1.TuyaUS.com.", RecordType::A)).name, "a1.tuyaus.com");
    }

    #[test]
    fn edns_is_answered_with_edns() {
        let mut message = query("a1.tuyaus.com.", RecordType::A);
        let mut edns = Edns::new();
        edns.set_max_payload(4_096);
        edns.set_dnssec_ok(true);
        message.set_edns(edns);
        assert_eq!(question(&message).udp_limit(), 1_232);
        let answer = answered(&message, &OURS);
        let edns = answer.edns.expect("EDNS");
        assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (1_232, 0, true));

        let mut newer = Edns::new();
        newer.set_version(1);
        message.set_edns(newer);
        let refused = fault(&message.to_vec().unwrap());
        assert_eq!(u16::from(refused.response_code), 16, "BADVERS");
        assert_eq!(question(&query("a1.tuyaus.com.", RecordType::A)).udp_limit(), 512);
    }

    /// Whoever sends with another's address must gain nothing by it.
    #[test]
    fn answers_are_hardly_longer_than_questions() {
        for name in names::hosts().map(|host| host.name.as_str()).chain(["tuyaus.com"]) {
            for rtype in [RecordType::A, RecordType::AAAA, RecordType::ANY, RecordType::SOA, RecordType::TXT]
            {
                let message = query(&format!("{name}."), rtype);
                let asked = message.to_vec().unwrap();
                let both = Ours { v4: OURS.v4, v6: Some(Ipv6Addr::LOCALHOST) };
                let answer = question(&message).answer(&both);
                assert!(
                    answer.len() <= asked.len() + 44,
                    "{name} {rtype}: {} of {}",
                    answer.len(),
                    asked.len()
                );
                for code in [ResponseCode::Refused, ResponseCode::ServFail] {
                    assert_eq!(question(&message).fail(code).len(), asked.len());
                }
                assert_eq!(question(&message).truncated().len(), asked.len());
            }
        }
    }

    #[test]
    fn what_is_no_question_is_not_answered_as_one() {
        assert!(matches!(read(&[], None), Read::Ignore));
        assert!(matches!(read(&[0; 11], None), Read::Ignore));
        let good = query("a1.tuyaus.com.", RecordType::A);
        let mut answer = good.clone();
        answer.metadata.message_type = MessageType::Response;
        assert!(matches!(read(&answer.to_vec().unwrap(), None), Read::Ignore));

        assert_eq!(fault(&[0; 12]).response_code, ResponseCode::FormErr);
        let mut update = good.clone();
        update.metadata.op_code = OpCode::Status;
        assert_eq!(fault(&update.to_vec().unwrap()).response_code, ResponseCode::NotImp);
        let mut two = good.clone();
        two.add_query(good.queries[0].clone());
        assert_eq!(fault(&two.to_vec().unwrap()).response_code, ResponseCode::FormErr);
        let mut many = good.to_vec().unwrap();
        many[4] = 0xff;
        assert_eq!(fault(&many).response_code, ResponseCode::FormErr);
        let mut chaos = good.clone();
        chaos.queries[0].set_query_class(DNSClass::CH);
        let refused = fault(&chaos.to_vec().unwrap());
        assert_eq!((refused.response_code, refused.id), (ResponseCode::Refused, 0x1234));
    }

    #[test]
    fn a_question_cut_off_anywhere_is_a_fault() {
        let mut message = query("a1.tuyaus.com.", RecordType::A);
        message.set_edns(Edns::new());
        let whole = message.to_vec().unwrap();
        for end in 0..whole.len() {
            match read(&whole[..end], None) {
                Read::Ignore => assert!(end < 12, "{end}"),
                Read::Fault(answer) => {
                    let answer = Message::from_vec(&answer).unwrap();
                    assert_eq!((answer.response_code, answer.id), (ResponseCode::FormErr, 0x1234), "{end}");
                }
                Read::Question(_) => panic!("{end} of {} bytes are no question", whole.len()),
            }
        }
    }

    /// A name that points to itself must end somewhere.
    #[test]
    fn a_name_that_points_to_itself_is_a_fault() {
        let mut bytes = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend([0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(fault(&bytes).response_code, ResponseCode::FormErr);
    }

    #[test]
    fn only_the_right_answer_is_an_answer() {
        let message = query("pool.ntp.org.", RecordType::A);
        let asked = question(&message);
        let sent = asked.forwarded(0xbeef).unwrap();
        let read_back = Message::from_vec(&sent).unwrap();
        assert_eq!(read_back.id, 0xbeef);
        assert!(read_back.recursion_desired && read_back.message_type == MessageType::Query);

        let mut right = read_back;
        right.metadata.message_type = MessageType::Response;
        assert!(asked.is_answered_by(&right.to_vec().unwrap(), 0xbeef));
        assert!(!asked.is_answered_by(&right.to_vec().unwrap(), 0xbee0), "another number");
        assert!(!asked.is_answered_by(&sent, 0xbeef), "the question itself");
        let mut other_name = right.clone();
        other_name.queries[0].set_name(Name::from_str("pool.ntp.net.").unwrap());
        assert!(!asked.is_answered_by(&other_name.to_vec().unwrap(), 0xbeef));
        let mut other_type = right.clone();
        other_type.queries[0].set_query_type(RecordType::AAAA);
        assert!(!asked.is_answered_by(&other_type.to_vec().unwrap(), 0xbeef));
        let mut none = right;
        none.queries.clear();
        assert!(!asked.is_answered_by(&none.to_vec().unwrap(), 0xbeef));
        assert!(!asked.is_answered_by(&[], 0xbeef));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Read::Question(question) = read(&bytes, None) {
                prop_assert!(!question.answer(&OURS).is_empty());
            }
        }

        /// Bytes that look more like a question: a good one with some bytes changed.
        #[test]
        fn no_damaged_question_makes_it_panic(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
            rtype in any::<u16>(),
        ) {
            let mut message = query("a1-ueaz.tuyaus.com.", RecordType::from(rtype));
            message.set_edns(Edns::new());
            let mut bytes = message.to_vec().unwrap();
            let asked_len = bytes.len();
            for (at, to) in changes {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
            match read(&bytes, None) {
                Read::Ignore => {}
                Read::Fault(answer) => prop_assert!(Message::from_vec(&answer).is_ok()),
                Read::Question(question) => {
                    let answer = question.answer(&OURS);
                    prop_assert!(Message::from_vec(&answer).is_ok());
                    prop_assert!(answer.len() <= asked_len + 300);
                    prop_assert!(!question.fail(ResponseCode::Refused).is_empty());
                    prop_assert!(question.forwarded(1).is_some());
                }
            }
        }
    }
}
