//! The version of what is stored.

/// The version V: it is written as this number, and nothing else is read in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Version<const V: u32>;

#[cfg(feature = "serde")]
impl<const V: u32> serde::Serialize for Version<V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(V)
    }
}

#[cfg(feature = "serde")]
impl<'de, const V: u32> serde::Deserialize<'de> for Version<V> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = u32::deserialize(deserializer)?;
        if found == V {
            return Ok(Self);
        }
        Err(serde::de::Error::custom(format!(
            "version {found} was written by another release; this reads {V}"
        )))
    }
}
