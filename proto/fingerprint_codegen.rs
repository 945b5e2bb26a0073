//! Writes, at build time, what `fingerprint.rs` needs to know of each message. Runs in the build script only.
//!
//! Context: a fingerprint must cover every field of a request, also those that are added next year. Written by hand it
//! would forget one some day, and two different requests would pass for one. So the visits are made from the
//! descriptors, in tag order. Rejected: hashing the bytes that arrived (protobuf has no canonical form), and dynamic
//! reflection at run time (several times slower).

use std::fmt::Write as _;

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

const PACKAGE: &str = "semel.v1";

/// The header names the call and is no part of its content; the app is the scope of the id.
const NO_CONTENT: [&str; 2] = ["header", "app"];

pub(crate) fn generate(set: &FileDescriptorSet) -> String {
    let mut out = String::new();
    for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
        for message in &file.message_type {
            canonical(&mut out, message, "crate::v1");
            if message.name().ends_with("Request") || ["Report", "Log"].contains(&message.name()) {
                request(&mut out, set, message);
            }
        }
    }
    out
}

fn canonical(out: &mut String, message: &DescriptorProto, scope: &str) {
    let _ =
        writeln!(out, "impl Canonical for {scope}::{} {{\n    fn write(&self, out: &mut Writer) {{", message.name());
    for field in in_tag_order(message) {
        let number = field.number();
        let _ = writeln!(out, "        {}", visit(message, field, scope, &format!("out.value({number}, value);")));
    }
    out.push_str("        let _ = out;\n    }\n}\n");
    let inner = format!("{scope}::{}", snake(message.name()));
    for nested in message.nested_type.iter().filter(|nested| !is_map_entry(nested)) {
        canonical(out, nested, &inner);
    }
}

fn request(out: &mut String, set: &FileDescriptorSet, message: &DescriptorProto) {
    let name = message.name();
    let _ =
        writeln!(out, "impl Content for crate::v1::{name} {{\n    const MESSAGE: &'static str = \"{PACKAGE}.{name}\";");
    out.push_str("    fn leaves(&self, out: &mut Leaves) {\n");
    let mut names = String::new();
    if let Some(app) = message.field.iter().find(|field| field.name() == "app") {
        let _ = writeln!(names, "            {} => \"app\",", app.number() << 8);
    }
    for field in in_tag_order(message).into_iter().filter(|field| !NO_CONTENT.contains(&field.name())) {
        let (number, field_name) = (field.number(), field.name());
        let _ = writeln!(names, "            {} => \"{field_name}\",", number << 8);
        let mut body = format!("out.leaf({}, value);", number << 8);
        if let Some(inner) = sub_message(set, message, field) {
            body = format!("out.present({});", number << 8);
            for sub in in_tag_order(inner.message) {
                let leaf = (number << 8) | sub.number();
                let _ = writeln!(names, "            {leaf} => \"{field_name}.{}\",", sub.name());
                let inner_visit = visit(inner.message, sub, &inner.scope, &format!("out.leaf({leaf}, value);"));
                let _ = write!(body, "\n        {}", inner_visit.replace("self.", "outer."));
            }
            body = format!("let outer = value; {body} let _ = outer;");
        }
        let _ = writeln!(out, "        {}", visit(message, field, "crate::v1", &body));
    }
    out.push_str("        let _ = out;\n    }\n    fn leaf_name(leaf: u16) -> &'static str {\n        match leaf {\n");
    let _ = writeln!(out, "{names}            _ => \"a field of another version\",\n        }}\n    }}\n}}");
    let has_app = message.field.iter().any(|field| field.name() == "app");
    if message.field.iter().any(|field| field.name() == "header") {
        let _ = writeln!(
            out,
            "impl Request for crate::v1::{name} {{\n    fn header(&self) -> Option<&crate::v1::RequestHeader> {{ self.header.as_ref() }}\n    fn app(&self) -> &str {{ {} }}\n}}",
            if has_app { "&self.app" } else { "\"\"" }
        );
    }
}

/// Code that binds `value` to what the field holds, if it holds anything but its default, and then runs `body`.
fn visit(message: &DescriptorProto, field: &FieldDescriptorProto, scope: &str, body: &str) -> String {
    let name = field.name();
    if let (Some(index), false) = (field.oneof_index, field.proto3_optional()) {
        let oneof = message.oneof_decl[index as usize].name();
        let path = format!("{scope}::{}::{}::{}", snake(message.name()), camel(oneof), camel(name));
        return format!("if let Some({path}(value)) = &self.{oneof} {{ {body} }}");
    }
    if field.label() == Label::Repeated {
        return format!("if !self.{name}.is_empty() {{ let value = &self.{name}; {body} }}");
    }
    if field.r#type() == Type::Message || field.proto3_optional() {
        return format!("if let Some(value) = &self.{name} {{ {body} }}");
    }
    let holds = match field.r#type() {
        Type::String | Type::Bytes => format!("!self.{name}.is_empty()"),
        Type::Bool => format!("self.{name}"),
        Type::Double | Type::Float => format!("self.{name} != 0.0"),
        _ => format!("self.{name} != 0"),
    };
    format!("if {holds} {{ let value = &self.{name}; {body} }}")
}

struct Inner<'a> {
    message: &'a DescriptorProto,
    scope: String,
}

/// The message of a singular message field of our own package; it is split into leaves one level deep.
fn sub_message<'a>(
    set: &'a FileDescriptorSet,
    owner: &'a DescriptorProto,
    field: &FieldDescriptorProto,
) -> Option<Inner<'a>> {
    if field.r#type() != Type::Message || field.label() == Label::Repeated {
        return None;
    }
    let path = field.type_name().strip_prefix(&format!(".{PACKAGE}."))?;
    if let Some(nested) = path.strip_prefix(&format!("{}.", owner.name())) {
        let message = owner.nested_type.iter().find(|message| message.name() == nested)?;
        return Some(Inner { message, scope: format!("crate::v1::{}", snake(owner.name())) });
    }
    let mut messages = set.file.iter().filter(|file| file.package() == PACKAGE).flat_map(|file| &file.message_type);
    Some(Inner { message: messages.find(|message| message.name() == path)?, scope: "crate::v1".to_owned() })
}

fn in_tag_order(message: &DescriptorProto) -> Vec<&FieldDescriptorProto> {
    let mut fields: Vec<_> = message.field.iter().collect();
    fields.sort_by_key(|field| field.number());
    fields
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn camel(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}
