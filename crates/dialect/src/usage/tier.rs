//! Names of service tiers, read as leniently as everything else in a usage object.

use keyway_proto::snapshot::v1::ServiceTier;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A service tier by its name; none where nothing, or no text, says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tier(pub(super) Option<ServiceTier>);

/// The tier of this name.
pub(super) fn by_name(name: &[u8]) -> ServiceTier {
    std::str::from_utf8(name).map_or(ServiceTier::Other, keyway_snapshot::service_tier_by_name)
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TierVisitor)
    }
}

struct TierVisitor;

impl<'de> Visitor<'de> for TierVisitor {
    type Value = Tier;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a service tier")
    }

    fn visit_str<E>(self, name: &str) -> Result<Tier, E> {
        Ok(Tier(Some(by_name(name.as_bytes()))))
    }

    fn visit_unit<E>(self) -> Result<Tier, E> {
        Ok(Tier(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tier, E> {
        Ok(Tier(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tier, E> {
        Ok(Tier(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tier, E> {
        Ok(Tier(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tier, E> {
        Ok(Tier(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tier, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Tier(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tier, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Tier(None))
    }
}
