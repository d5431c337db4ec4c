//! Seals: what a model's maker signs or encrypts, and who may have it back.

use keyway_proto::snapshot::v1::Dialect;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Marks a seal of another dialect in a field of this one.
const MARK: &str = "kw1:";
/// How every seal of another dialect begins, and the same where it stands in base64: twelve bytes are sixteen characters,
/// whatever follows.
static BEGINNING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"kw1:DIALECT_"));
static BEGINNING_BASE64: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"a3cxOkRJQUxFQ1Rf"));

/// True if a body of `caller`'s dialect holds a seal of another one: only what was made elsewhere, which no provider that
/// speaks `caller` understands.
#[must_use]
pub fn holds_foreign_seals(caller: Dialect, body: &[u8]) -> bool {
    let beginning = if caller == Dialect::Gemini { &BEGINNING_BASE64 } else { &BEGINNING };
    beginning.find(body).is_some()
}

/// A signature or encrypted reasoning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// In which dialect it was made; it goes back only in this one.
    pub dialect: Dialect,
    /// The provider that made it; none where only the dialect is known.
    pub provider: Option<String>,
    /// Its kind.
    pub kind: SealKind,
    /// As it was written.
    pub value: String,
}

/// The kinds of seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealKind {
    /// Over text that may be read.
    Signature,
    /// The thoughts themselves, encrypted.
    Encrypted,
}

// === impl Seal ===

impl Seal {
    /// What `value` is in a field of `caller`'s dialect: unwrapped if another dialect made it, else the caller's own.
    #[must_use]
    pub fn unwrap(caller: Dialect, kind: SealKind, value: &str) -> Self {
        Self::unwrapped(value).unwrap_or_else(|| Self {
            dialect: caller,
            provider: None,
            kind,
            value: value.to_owned(),
        })
    }

    fn unwrapped(value: &str) -> Option<Self> {
        let mut fields = value.strip_prefix(MARK)?.splitn(4, ':');
        let dialect = Dialect::from_str_name(fields.next()?)?;
        let kind = match fields.next()? {
            "s" => SealKind::Signature,
            "e" => SealKind::Encrypted,
            _ => return None,
        };
        let provider = Some(fields.next()?.to_owned()).filter(|provider| !provider.is_empty());
        Some(Self { dialect, provider, kind, value: fields.next()?.to_owned() })
    }

    /// As it stands in a field of `caller`'s dialect: as it is if made in that dialect, else with its maker's name.
    #[must_use]
    pub fn wrap(&self, caller: Dialect) -> String {
        if self.dialect == caller {
            return self.value.clone();
        }
        let kind = match self.kind {
            SealKind::Signature => 's',
            SealKind::Encrypted => 'e',
        };
        let provider = self.provider.as_deref().unwrap_or_default();
        format!("{MARK}{}:{kind}:{provider}:{}", self.dialect.as_str_name(), self.value)
    }

    /// True if it only names its maker or an id at the maker: nothing that is signed or encrypted is in it.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.value.is_empty() || (self.dialect == Dialect::OpenaiResponses && self.value.ends_with(':'))
    }

    /// True if this maker may have it back.
    #[must_use]
    pub fn is_of(&self, dialect: Dialect, provider: &str) -> bool {
        self.dialect == dialect && self.provider.as_deref().is_none_or(|made| made == provider)
    }
}
