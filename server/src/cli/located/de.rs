//! From located values to types, through serde: what goes wrong is said with the place and the path of the innermost value
//! that was being read.

use std::fmt::{self, Display};

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer as _, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

use super::{Entry, Node, Place, Value};

/// Why a value could not be read, and where it stands.
#[derive(Debug)]
pub(crate) struct Wrong {
    problem: String,
    place: Option<Place>,
    missing: Option<&'static str>,
    /// From the inside out.
    path: Vec<String>,
}

impl Wrong {
    fn within(mut self, place: Place, part: impl Into<String>) -> Self {
        self.place.get_or_insert(place);
        self.path.push(part.into());
        self
    }

    /// Where it is; nothing if it is the whole.
    pub(super) fn place(&self) -> Option<Place> {
        self.place
    }

    /// From the whole to the value.
    pub(super) fn path(&self) -> Vec<String> {
        self.path.iter().rev().cloned().collect()
    }

    /// The field that is not there, if that is the mistake.
    pub(super) fn missing_field(&self) -> Option<&'static str> {
        self.missing
    }
}

impl Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.problem)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: Display>(problem: T) -> Self {
        Self { problem: problem.to_string(), place: None, missing: None, path: Vec::new() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::custom(format!("missing field `{field}`")) }
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { items, at: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, at: 0 }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                Err(de::Error::custom("must be text: put it in quotes"))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.value == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match &self.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant(&entries[0])),
            _ => Err(de::Error::custom("must be a name, or a map of one key")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

struct Items<'de> {
    items: &'de [Node],
    at: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(item) = self.items.get(self.at) else { return Ok(None) };
        let at = self.at;
        self.at += 1;
        seed.deserialize(item).map(Some).map_err(|wrong| wrong.within(item.place, at.to_string()))
    }
}

struct Entries<'de> {
    entries: &'de [Entry],
    at: usize,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some(entry) = self.entries.get(self.at) else { return Ok(None) };
        let key: StrDeserializer<'_, Wrong> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|wrong| wrong.within(entry.place, entry.key.clone()))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Wrong> {
        let entry = self.entries.get(self.at).ok_or_else(|| <Wrong as de::Error>::custom("a value is missing here"))?;
        self.at += 1;
        let place = if entry.node.value == Value::Null { entry.place } else { entry.node.place };
        seed.deserialize(&entry.node).map_err(|wrong| wrong.within(place, entry.key.clone()))
    }
}

/// A variant with what it holds: a map of one key.
struct Variant<'de>(&'de Entry);

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = Wrong;
    type Variant = &'de Entry;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, &'de Entry), Wrong> {
        let key: StrDeserializer<'_, Wrong> = self.0.key.as_str().into_deserializer();
        let variant = seed.deserialize(key).map_err(|wrong| wrong.within(self.0.place, self.0.key.clone()))?;
        Ok((variant, self.0))
    }
}

impl<'de> de::VariantAccess<'de> for &'de Entry {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        Err(de::Error::custom("must stand without a value"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        seed.deserialize(&self.node).map_err(|wrong| wrong.within(self.node.place, self.key.clone()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.node.deserialize_any(visitor).map_err(|wrong| wrong.within(self.node.place, self.key.clone()))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Wrong> {
        self.node.deserialize_any(visitor).map_err(|wrong| wrong.within(self.node.place, self.key.clone()))
    }
}
