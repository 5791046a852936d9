//! What webhooks are sent, written into the description: an operation for each kind of event, at the receiver.
//!
//! Endpoints are described where they stand. Here none of ours is: the receivers' are, which Keyward calls.

use keyward_api::{AlertEventData, ChangeEventData, TestEventData};
use keyward_core::event::EventKind;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, ObjectBuilder, OpenApi, Paths, Ref, RefOr, Required, ResponseBuilder,
        Schema, Type,
        path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem},
        request_body::RequestBodyBuilder,
        schema::{KnownFormat, SchemaFormat},
    },
};

/// What every call carries (Standard Webhooks 1.0).
const HEADERS: [(&str, &str); 3] = [
    ("webhook-id", "The event's id: the same in every try, so that what comes twice is known"),
    ("webhook-timestamp", "When this try was signed, in seconds since the Unix epoch"),
    (
        "webhook-signature",
        "`v1,` and the Base64 of an HMAC-SHA256 over id, timestamp and body with dots between them; \
         several with spaces between them while a secret rotates",
    ),
];

/// The schema of an event's `data`.
const fn data_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::AlertRaised | EventKind::AlertResolved => "AlertEventData",
        EventKind::WebhookTest => "TestEventData",
        _ => "ChangeEventData",
    }
}

/// Describes what webhooks are sent.
pub(super) fn describe(document: &mut OpenApi) {
    let mut schemas: Vec<(String, RefOr<Schema>)> = vec![
        ("AlertEventData".to_owned(), AlertEventData::schema()),
        ("ChangeEventData".to_owned(), ChangeEventData::schema()),
        ("TestEventData".to_owned(), TestEventData::schema()),
    ];
    AlertEventData::schemas(&mut schemas);
    ChangeEventData::schemas(&mut schemas);
    TestEventData::schemas(&mut schemas);
    document.components.get_or_insert_default().schemas.extend(schemas);
    let mut webhooks = Paths::new();
    for kind in EventKind::ALL {
        webhooks.paths.insert(kind.to_string(), PathItem::new(HttpMethod::Post, receiver(kind)));
    }
    document.webhooks = Some(webhooks);
}

fn receiver(kind: EventKind) -> OperationBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let body = ObjectBuilder::new()
        .property("type", text().enum_values(Some([kind.as_str()])))
        .property(
            "timestamp",
            text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        )
        .property("data", Ref::from_schema_name(data_of(kind)));
    let body = ["type", "timestamp", "data"].into_iter().fold(body, ObjectBuilder::required);
    let content = ContentBuilder::new().schema(Some(body)).build();
    let body = RequestBodyBuilder::new()
        .content("application/json", content)
        .required(Some(Required::True))
        .build();
    let taken = "It is taken. Whatever else is answered, it is tried again for some 27 hours; \
        after 410 nothing is sent to the webhook any more.";
    let operation = OperationBuilder::new()
        .tag("webhooks")
        .summary(Some(kind.as_str()))
        .request_body(Some(body))
        .response("2XX", ResponseBuilder::new().description(taken).build());
    HEADERS.into_iter().fold(operation, |operation, (name, meaning)| {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .description(Some(meaning))
            .required(Required::True)
            .schema(Some(text()));
        operation.parameter(parameter.build())
    })
}
