//! What the vendors' profiles find in requests of the vendors' own forms.

use keyward_core::metering::{Body, Metered, Unknown, estimate::estimate};
use serde_json::{Value, json};

use crate::compiled;

/// An image of so many bytes that a text of its length would be far more.
fn base64() -> String {
    "iVBORw0KGgo/".repeat(1000)
}

/// What a request may write, and whether its one image counts flat.
fn of(profile: &str, route: &str, body: &Value) -> (u64, bool, Option<Unknown>) {
    let metering = compiled(profile).metering;
    let body = body.to_string();
    let of = estimate(&metering, route, Metered::Both, Body::Whole(body.as_bytes()), None);
    let flat = body.len() as u64 - base64().len() as u64 + 2_000;
    // A few bytes more or less make the URL's head.
    (of.written, of.read.abs_diff(flat) < 40, of.unknown)
}

#[test]
fn images_and_what_bounds_an_answer_stand_where_the_profiles_look_for_them() {
    let url = format!("data:image/png;base64,{}", base64());
    let (chat, responses) = ("/v1/chat/completions", "/v1/responses");
    let parts = json!([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]);
    let messages =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]);
    for (member, written) in
        [("max_tokens", 7), ("max_completion_tokens", 7), ("max_output_tokens", 4096)]
    {
        let body = json!({"model": "m", "messages": messages, member: 7});
        for profile in ["openai", "default"] {
            assert_eq!(of(profile, chat, &body), (written, true, None), "{member}");
        }
    }
    let input = json!([{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]);
    for (member, written) in [("max_output_tokens", 7), ("max_tokens", 4096)] {
        let body = json!({"model": "m", "input": input, member: 7});
        for profile in ["openai", "default"] {
            assert_eq!(of(profile, responses, &body), (written, true, None), "{member}");
        }
    }
    let body = json!({"model": "m", "input": input, "background": true});
    assert_eq!(of("openai", responses, &body), (4096, true, Some(Unknown::Background)));

    let source = json!({"type": "base64", "media_type": "image/png", "data": base64()});
    let image = json!([{"type": "image", "source": source}]);
    let result = json!([{"type": "tool_result", "tool_use_id": "t", "content": image}]);
    for content in [image, result] {
        let body = json!({"model": "m", "max_tokens": 7, "messages": [{"role": "user", "content": content}]});
        for profile in ["anthropic", "default"] {
            assert_eq!(of(profile, "/v1/messages", &body), (7, true, None));
        }
    }

    let route = "/v1beta/models/{model}:generateContent";
    for (data, kind, config, most, choices) in [
        ("inlineData", "mimeType", "generationConfig", "maxOutputTokens", "candidateCount"),
        ("inline_data", "mime_type", "generation_config", "max_output_tokens", "candidate_count"),
        ("inlineData", "mimeType", "generationConfig", "max_output_tokens", "candidate_count"),
        ("inlineData", "mimeType", "generation_config", "maxOutputTokens", "candidateCount"),
    ] {
        let parts =
            json!([{"text": "What is this?"}, {data: {kind: "image/png", "data": base64()}}]);
        let body = json!({"contents": [{"parts": parts}], config: {most: 7, choices: 2}});
        assert_eq!(of("gemini", route, &body), (14, true, None), "{data} {config} {most}");
    }
}

#[test]
fn what_a_request_refers_to_counts_flat_however_it_is_written() {
    let route = "/v1beta/models/{model}:generateContent";
    let file = |of: &str, uri: &str| json!({of: {uri: "https://files.test/a"}});
    let camel = file("fileData", "fileUri");
    let said = |part: &Value| json!([{"parts": [part]}]);
    for (body, references) in [
        (json!({"contents": said(&json!({"text": "a"}))}), 0),
        (json!({"contents": said(&camel)}), 1),
        (json!({"contents": said(&file("file_data", "file_uri"))}), 1),
        (json!({"contents": [{"parts": camel}]}), 1),
        (json!({"contents": {"parts": [camel]}}), 1),
        (json!({"contents": {"parts": camel}}), 1),
        (json!({"contents": said(&camel), "systemInstruction": {"parts": [camel]}}), 2),
        (json!({"contents": [], "system_instruction": {"parts": [camel]}}), 1),
        (json!({"contents": [], "cachedContent": "cachedContents/a"}), 1),
        (json!({"contents": [], "cached_content": "cachedContents/a"}), 1),
    ] {
        let text = body.to_string();
        let metering = compiled("gemini").metering;
        let of = estimate(&metering, route, Metered::Both, Body::Whole(text.as_bytes()), None);
        assert_eq!(of.read, text.len() as u64 + references * 2_000, "{text}");
    }
}
