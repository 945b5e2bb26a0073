//! Messages of the protocol as JSON and back, by the descriptors: the form in which drivers speak of them.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

/// Everything that the protocol knows.
pub static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(semel_proto::FILE_DESCRIPTOR_SET).expect("the protocol's own descriptors are well formed")
});

/// The descriptor of a message of `semel.v1`.
fn descriptor(name: &str) -> Result<MessageDescriptor, String> {
    POOL.get_message_by_name(&format!("semel.v1.{name}")).ok_or_else(|| format!("there is no message {name:?}"))
}

/// A message as JSON, its fields by their names in the protocol; those at their defaults are left out.
///
/// # Panics
/// When `name` is not the name of the message.
pub fn of<M: Message>(name: &str, message: &M) -> Value {
    let descriptor = descriptor(name).expect("a message of the protocol");
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).expect("it is such a message");
    let options = SerializeOptions::new().use_proto_field_name(true);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).expect("JSON can hold it")
}

/// A message out of JSON, its fields by either name.
///
/// # Errors
/// When it is no such message; fields that it does not know count as that.
pub fn to<M: Message + Default>(name: &str, value: &Value) -> Result<M, String> {
    let bad = |error: &dyn std::fmt::Display| format!("this is no {name}: {error}");
    let dynamic = DynamicMessage::deserialize_with_options(descriptor(name)?, value, &DeserializeOptions::new())
        .map_err(|error| bad(&error))?;
    M::decode(dynamic.encode_to_vec().as_slice()).map_err(|error| bad(&error))
}

#[cfg(test)]
mod tests {
    use semel_proto::v1;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_read_back_in_either_spelling_and_with_values_of_a_later_server() {
        let run: v1::Run = to("Run", &json!({"run_id": "r", "state": 99, "revision": "7"})).expect("it is one");
        assert_eq!((run.state, run.revision), (99, 7));
        assert_eq!(to::<v1::Run>("Run", &json!({"runId": "r", "state": 99, "revision": 7})), Ok(run.clone()));
        assert_eq!(of("Run", &run), json!({"run_id": "r", "state": 99, "revision": "7"}));
    }

    #[test]
    fn a_field_that_is_not_known_is_a_mistake() {
        assert!(to::<v1::Run>("Run", &json!({"run": 1})).is_err());
        assert!(to::<v1::Run>("Bun", &json!({})).is_err());
    }
}
