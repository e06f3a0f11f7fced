//! The broker's side of MQTT, as far as these tests need it.

/// What a device sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Connect {
        name: String,
        level: u8,
        client_id: String,
        user_name: String,
        password: String,
        keep_alive: u16,
    },
    Subscribe {
        id: u16,
        topic: String,
        quality: u8,
    },
    Publish {
        topic: String,
        id: Option<u16>,
        payload: Vec<u8>,
    },
    PubAck {
        id: u16,
    },
    Ping,
    Disconnect,
}

/// Cuts packets off the front of a buffer.
pub(crate) fn read(buffer: &mut Vec<u8>) -> Option<Sent> {
    let mut len = 0_usize;
    let mut head = 1;
    loop {
        let byte = *buffer.get(head)?;
        len |= usize::from(byte & 0x7f) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if buffer.len() < head + len {
        return None;
    }
    let packet: Vec<u8> = buffer.drain(..head + len).collect();
    let mut body = Body(&packet[head..]);
    Some(match packet[0] >> 4 {
        1 => {
            let name = body.text();
            let level = body.byte();
            assert_eq!(body.byte(), 0b1100_0010, "user name, password, clean session, no will");
            let keep_alive = body.word();
            let (client_id, user_name, password) = (body.text(), body.text(), body.text());
            Sent::Connect { name, level, client_id, user_name, password, keep_alive }
        }
        3 => {
            let topic = body.text();
            let id = (packet[0] & 0b110 != 0).then(|| body.word());
            Sent::Publish { topic, id, payload: body.0.to_vec() }
        }
        4 => Sent::PubAck { id: body.word() },
        8 => {
            let (id, topic, quality) = (body.word(), body.text(), body.byte());
            assert!(body.0.is_empty(), "one topic per SUBSCRIBE");
            Sent::Subscribe { id, topic, quality }
        }
        12 => Sent::Ping,
        14 => Sent::Disconnect,
        other => panic!("a device sent a packet of type {other}"),
    })
}

struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap();
        self.0 = rest;
        *first
    }
    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }
    fn text(&mut self) -> String {
        let len = usize::from(self.word());
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8(text.to_vec()).unwrap()
    }
}

pub(crate) fn connack(code: u8) -> Vec<u8> {
    vec![0x20, 2, 0, code]
}

pub(crate) fn suback(id: u16) -> Vec<u8> {
    let [a, b] = id.to_be_bytes();
    vec![0x90, 3, a, b, 1]
}

pub(crate) fn puback(id: u16) -> Vec<u8> {
    let [a, b] = id.to_be_bytes();
    vec![0x40, 2, a, b]
}

pub(crate) fn publish(topic: &str, quality: u8, payload: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if quality > 0 {
        body.extend([0, 77]);
    }
    body.extend_from_slice(payload);
    let mut packet = vec![0x30 | quality << 1];
    let mut rest = body.len();
    loop {
        let digit = u8::try_from(rest % 128).unwrap();
        rest /= 128;
        packet.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}
