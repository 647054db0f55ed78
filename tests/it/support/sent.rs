//! Parts on their way between machines.

/// What arrives when something is sent as text.
#[cfg(feature = "serde")]
pub fn sent<P: serde::Serialize + serde::de::DeserializeOwned>(part: P) -> P {
    serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap()
}

#[cfg(not(feature = "serde"))]
pub fn sent<P>(part: P) -> P {
    part
}
