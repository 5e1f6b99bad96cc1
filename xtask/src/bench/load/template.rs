//! The request of one payer, made once: only the idempotency key differs from one payment to the next.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::Payer;

/// The characters of a key.
pub(super) const KEY_LENGTH: usize = Hyphenated::LENGTH;

/// All bytes of a request, with a gap for the key.
pub(super) struct Template {
    bytes: Vec<u8>,
    // Invariant: `key_at + KEY_LENGTH` is within `bytes`.
    key_at: usize,
}

impl Template {
    pub(super) fn of(payer: &Payer, host: &str) -> Template {
        let body = format!(r#"{{"lease_id":"{}","amount":"1500.00"}}"#, payer.lease_id);
        let before = format!(
            "POST /api/v1/payments/ HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nidempotency-key: ",
            payer.token
        );
        let after = format!("\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let key_at = before.len();
        Template { bytes: [before.as_bytes(), &[b'-'; KEY_LENGTH], after.as_bytes()].concat(), key_at }
    }

    /// Makes `request` the request with this key.
    pub(super) fn fill(&self, key: &[u8; KEY_LENGTH], request: &mut Vec<u8>) {
        request.clear();
        request.extend_from_slice(&self.bytes);
        request[self.key_at..self.key_at + KEY_LENGTH].copy_from_slice(key);
    }
}

/// Makes `key` one that nobody used before.
pub(super) fn draw(key: &mut [u8; KEY_LENGTH]) {
    Uuid::new_v4().hyphenated().encode_lower(key);
}

#[cfg(test)]
mod tests {
    use super::{KEY_LENGTH, Template, draw};
    use crate::bench::load::Payer;

    #[test]
    fn a_request_differs_from_the_next_in_its_key_only() {
        let [token, landlord_token, lease_id] = ["secret", "other", "home"].map(str::to_owned);
        let payer = Payer { token, landlord_token, lease_id };
        let template = Template::of(&payer, "localhost:1");
        let (mut key, mut request) = ([0; KEY_LENGTH], Vec::new());
        draw(&mut key);
        template.fill(&[b'x'; KEY_LENGTH], &mut request);
        template.fill(&key, &mut request);
        let expected = format!(
            "POST /api/v1/payments/ HTTP/1.1\r\nhost: localhost:1\r\nauthorization: Bearer secret\r\n\
             idempotency-key: {}\r\ncontent-type: application/json\r\ncontent-length: 38\r\n\r\n\
             {{\"lease_id\":\"home\",\"amount\":\"1500.00\"}}",
            std::str::from_utf8(&key).unwrap()
        );
        assert_eq!(std::str::from_utf8(&request).unwrap(), expected);
    }
}
