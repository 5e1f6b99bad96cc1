//! Time-based one-time codes (RFC 6238): six digits from HMAC-SHA-1 and the number of the half minute, as every authenticator makes
//! them.

use aws_lc_rs::hmac;

/// Bytes of a secret: as many as the hash has (RFC 4226, section 4).
pub const SECRET_BYTES: usize = 20;
/// How long a code is shown.
const STEP_SECONDS: i64 = 30;
/// Steps by which the clocks may differ.
const DRIFT: i64 = 1;
const DIGITS: u32 = 6;

/// The time step of which `code` is the code, if it is one of now, before or after, and later than `last_step`.
pub fn matching_step(secret: &[u8], code: &str, now_seconds: i64, last_step: i64) -> Option<i64> {
    let is_code = code.len() == DIGITS as usize && code.bytes().all(|byte| byte.is_ascii_digit());
    let code: u32 = if is_code { code.parse().ok()? } else { return None };
    let now = now_seconds.div_euclid(STEP_SECONDS);
    (now - DRIFT..=now + DRIFT).find(|step| last_step < *step && code_of(secret, *step) == code)
}

/// The code of a time step (RFC 4226, section 5.3).
fn code_of(secret: &[u8], step: i64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = bytes.last().map_or(0, |last| usize::from(last & 0x0F));
    let four = bytes.get(offset..offset + 4).and_then(|four| four.try_into().ok()).unwrap_or_default();
    (u32::from_be_bytes(four) & 0x7FFF_FFFF) % 10_u32.pow(DIGITS)
}

/// The code at a moment, for tests and whoever plays an authenticator.
pub fn code_at(secret: &[u8], seconds: i64) -> String {
    format!("{:06}", code_of(secret, seconds.div_euclid(STEP_SECONDS)))
}

/// Base 32 without padding (RFC 4648), as authenticators read it.
pub fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    let letter = |first: usize| (first..first + 5).fold(0_usize, |value, at| value << 1 | usize::from(bit(at)));
    (0..bytes.len() * 8)
        .step_by(5)
        .filter_map(|first| LETTERS.get(letter(first)))
        .map(|byte| char::from(*byte))
        .collect()
}

/// What authenticators read from a picture: whose account it is, and the secret.
pub fn uri(email: &str, secret: &[u8]) -> String {
    let label: String = email
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("otpauth://totp/DirectPay:{label}?secret={}&issuer=DirectPay", base32(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B; the last six of its eight digits.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfc() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(SECRET, seconds), code);
            assert_eq!(matching_step(SECRET, code, seconds, 0), Some(seconds / 30));
        }
    }

    #[test]
    fn a_clock_may_differ_by_half_a_minute_and_no_code_is_taken_twice() {
        let (now, step) = (1_111_111_111, 1_111_111_111 / 30);
        let code = code_at(SECRET, now);
        assert_eq!(matching_step(SECRET, &code, now - 30, 0), Some(step));
        assert_eq!(matching_step(SECRET, &code, now + 30, 0), Some(step));
        assert_eq!(matching_step(SECRET, &code, now - 60, 0), None);
        assert_eq!(matching_step(SECRET, &code, now + 60, 0), None);
        assert_eq!(matching_step(SECRET, &code, now, step), None);
        assert_eq!(matching_step(SECRET, &code_at(SECRET, now - 30), now, step), None);
        assert_eq!(matching_step(SECRET, &code_at(SECRET, now + 30), now, step), Some(step + 1));
        for none in ["", "50471", "0050471", "+50471", "05047\u{661}", "abcdef"] {
            assert_eq!(matching_step(SECRET, none, now, 0), None, "{none}");
        }
    }

    #[test]
    fn base_32_is_that_of_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(text.as_bytes()), encoded);
        }
        let expected =
            "otpauth://totp/DirectPay:a%2Bb%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=DirectPay";
        assert_eq!(uri("a+b@example.com", SECRET), expected);
    }
}
