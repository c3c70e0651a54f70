//! What a joining node must know. Short-lived, kept in memory only.

use crate::sha256::hex;
use std::fmt;
use std::io;
use std::str::FromStr;

/// A bootstrap token, `[a-z0-9]{6}.[a-z0-9]{16}`. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The text is no bootstrap token (and is not repeated here).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a bootstrap token")]
pub struct TokenError;

impl Token {
    /// Returns the token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = TokenError;
    fn try_from(text: String) -> Result<Self, TokenError> {
        let good = |part: &str, length| {
            part.len() == length
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        match text.split_once('.') {
            Some((id, secret)) if good(id, 6) && good(secret, 16) => Ok(Self(text)),
            _ => Err(TokenError),
        }
    }
}

impl FromStr for Token {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, TokenError> {
        text.to_owned().try_into()
    }
}

/// The key that encrypts uploaded certificates: 32 bytes in hexadecimal. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateKey(String);

impl CertificateKey {
    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What `kubeadm init` is given.
#[derive(Clone, PartialEq, Eq)]
pub struct InitSecrets {
    /// Admits the nodes that join right after.
    pub token: Token,
    /// Encrypts the uploaded certificates.
    pub certificate_key: CertificateKey,
}

/// What `kubeadm join` is given.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecrets {
    /// Admits the node.
    pub token: Token,
    /// The cluster's CA certificate (PEM).
    pub ca: Vec<u8>,
    /// Decrypts the uploaded certificates; none where they are copied, or for workers.
    pub certificate_key: Option<CertificateKey>,
}

impl InitSecrets {
    /// Draws both from a source of random bytes.
    pub fn draw(random: &mut impl io::Read) -> io::Result<Self> {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        // The largest multiple of 36 below 256: bytes from there on would make some letters likelier.
        const FAIR: u8 = 252;
        let mut letters = String::new();
        while letters.len() < 22 {
            let fair = bytes(random)?.into_iter().filter(|byte| *byte < FAIR);
            letters.extend(fair.map(|byte| char::from(ALPHABET[usize::from(byte % 36)])));
        }
        let token = Token(format!("{}.{}", &letters[..6], &letters[6..22]));
        let key = hex(&bytes(random)?);
        Ok(Self {
            token,
            certificate_key: CertificateKey(key),
        })
    }

    /// Stand-ins that name themselves, for showing a plan.
    pub fn placeholder() -> Self {
        Self {
            token: Token("bootstrap.token".to_owned()),
            certificate_key: CertificateKey("certificate-key".to_owned()),
        }
    }
}

fn bytes(random: &mut impl io::Read) -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    random.read_exact(&mut bytes)?;
    Ok(bytes)
}

macro_rules! redacted {
    ($($type:ident),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), "(…)"))
            }
        }
    )*};
}

redacted!(Token, CertificateKey, InitSecrets, JoinSecrets);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_secrets_have_kubeadms_form() {
        let mut random = std::fs::File::open("/dev/urandom").unwrap();
        let secrets = InitSecrets::draw(&mut random).unwrap();
        secrets.token.as_str().parse::<Token>().unwrap();
        let key = secrets.certificate_key.as_str();
        assert!(
            key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit()),
            "{} characters",
            key.len()
        );
        assert_ne!(secrets, InitSecrets::draw(&mut random).unwrap());
        assert_eq!(format!("{secrets:?}"), "InitSecrets(…)");
    }

    #[test]
    fn tokens_have_one_door() {
        for bad in [
            "",
            "abcdef",
            "abcdef.0123456789abcde",
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcdef\n",
        ] {
            bad.parse::<Token>().unwrap_err();
        }
    }
}
