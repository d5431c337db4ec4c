//! The API's description, made from the route table and the types.

use super::{
    answer::{Answer, Failed, Fault},
    call::Call,
    route::{ROUTES, Route},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

pub(super) async fn show(_: Call) -> Result<Answer, Fault> {
    Answer::json(&description())
}

/// OpenAPI 3.1.
pub(super) fn description() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.word().to_owned(), operation);
        }
    }
    let failed = generator.subschema_for::<Failed>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyway admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every call shows an operator's token as `authorization: Bearer …`; `x-keyway-scope` says what it must be good for.",
        },
        "servers": [{ "url": "/api/v1" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": { "failed": {
                "description": "Nothing was changed",
                "content": { "application/json": { "schema": failed } },
            } },
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let gives = (route.gives)(generator);
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "parameters": parameters(route),
        "responses": {
            "2XX": { "description": "Done", "content": { route.media: { "schema": gives } } },
            "default": { "$ref": "#/components/responses/failed" },
        },
        "x-keyway-scope": route.scope.word(),
        "x-keyway-owner": route.owner.word(),
    });
    if let (Some(takes), Value::Object(fields)) = (route.takes, &mut operation) {
        let body =
            json!({ "required": true, "content": { "application/json": { "schema": takes(generator) } } });
        fields.insert("requestBody".to_owned(), body);
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split('/').filter(|part| !part.is_empty());
    let named = words.map(|part| part.trim_matches(['{', '}', '*']).replace(['.', '-'], "_"));
    let path = named.collect::<Vec<_>>().join("_");
    format!("{}_{path}", route.method.word())
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let path = in_path.map(|name| {
        json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let query =
        route.query.iter().map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
    path.chain(query).collect()
}
