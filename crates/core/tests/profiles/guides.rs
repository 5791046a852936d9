//! What the five guides document, byte for byte. The texts here are the guides' own; the tests against a running Keyward
//! take them from the documents themselves.

use std::time::Duration;

use keyward_core::{
    key::Rotation,
    limit::Bound,
    profile::{Https, IssuanceMode, ResetForm},
    route::{Method, RouteMatch, Routes},
    verdict::Reason,
};
use serde_json::Value;

use crate::{answer, body, compiled, denial, header, key_id};

/// A guide's JSON without its line breaks: the members in the guide's order.
fn compact(guide: &str) -> String {
    serde_json::from_str::<Value>(guide).unwrap().to_string()
}

/// The permission that a profile's route takes.
fn permission(profile: &str, method: Method, path: &str) -> String {
    let profile = compiled(profile);
    match Routes::new(profile.routes).find(Some(method), path) {
        RouteMatch::Found(route) => route.requires_name.to_string(),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn anunzi_answers_each_row_of_its_table() {
    let profile = compiled("anunzi");
    let table = [
        (
            Reason::BadRequest,
            400,
            "Bad Request",
            "The request contains errors or invalid parameters.",
            "Check and correct the data sent.",
        ),
        (
            Reason::MissingKey,
            401,
            "Unauthorized",
            "Missing or incorrect API Key.",
            "Ensure the Authorization: Bearer API_KEY header is included correctly.",
        ),
        (
            Reason::InsufficientPermission,
            403,
            "Forbidden",
            "You do not have permission to access this resource.",
            "Contact the Anunzi team.",
        ),
        (
            Reason::UnknownRoute,
            404,
            "Not Found",
            "The requested resource does not exist.",
            "Verify that the endpoint and IDs are correct.",
        ),
        (
            Reason::RateLimited,
            429,
            "Too Many Requests",
            "API rate limit exceeded.",
            "Implement a retry mechanism and wait before retrying.",
        ),
        (
            Reason::Internal,
            500,
            "Internal Server Error",
            "An unexpected error occurred on the server.",
            "Try again later or contact Anunzi support.",
        ),
    ];
    for (reason, status, error, message, action) in table {
        let expected = format!(
            r#"{{"status":{status},"error":"{error}","message":"{message}","action":"{action}"}}"#
        );
        assert_eq!(body(&profile, reason), expected);
    }
    // A row speaks for every request with its status. Only a request in the clear is told what to do about it.
    for reason in Reason::ALL {
        let status = profile.refusals.status(*reason);
        if let Some((.., message, action)) = table.iter().find(|row| row.1 == status) {
            let body = body(&profile, *reason);
            assert!(body.contains(message), "{body}");
            let insecure = *reason == Reason::InsecureTransport;
            let action = if insecure { "Always use secure connections (HTTPS)." } else { action };
            assert!(body.contains(action), "{body}");
        }
    }
}

#[test]
fn anunzi_keys_come_from_staff_one_a_client() {
    let profile = compiled("anunzi");
    assert_eq!(profile.issuance.mode, IssuanceMode::Staff);
    assert_eq!(profile.issuance.keys_per_organization, Some(1));
    assert_eq!(profile.key_header(), "Authorization");
}

#[test]
fn generic_answers_its_three_errors() {
    let profile = compiled("generic");
    let missing = r#"{
      "success": false,
      "error": {
        "code": "MISSING_API_KEY",
        "message": "API key is required",
        "details": {
          "header": "Authorization"
        }
      }
    }"#;
    let invalid = r#"{
      "success": false,
      "error": {
        "code": "INVALID_API_KEY",
        "message": "The provided API key is invalid",
        "details": {
          "key_id": "key_1234567890"
        }
      }
    }"#;
    let expired = r#"{
      "success": false,
      "error": {
        "code": "EXPIRED_API_KEY",
        "message": "The API key has expired",
        "details": {
          "expired_at": "2024-01-01T00:00:00Z"
        }
      }
    }"#;
    assert_eq!(body(&profile, Reason::MissingKey), compact(missing));
    assert_eq!(body(&profile, Reason::ExpiredKey), compact(expired));
    let invalid = compact(invalid).replace("key_1234567890", &key_id().to_string());
    use Reason as R;
    for reason in [R::MalformedKey, R::UnknownKey, R::RevokedKey, R::DisabledKey] {
        assert_eq!(body(&profile, reason), invalid, "{}", reason.name());
    }
    for reason in [R::MissingKey, R::ExpiredKey, R::UnknownKey, R::RevokedKey] {
        assert_eq!(profile.refusals.status(reason), 401);
    }
}

#[test]
fn generic_answers_the_two_errors_that_are_decided_for_it() {
    let profile = compiled("generic");
    assert_eq!(
        body(&profile, Reason::InsufficientPermission),
        r#"{"success":false,"error":{"code":"INSUFFICIENT_PERMISSIONS","message":"The API key does not have the required permission","details":{"required":"inference:write"}}}"#
    );
    assert_eq!(
        body(&profile, Reason::RateLimited),
        r#"{"success":false,"error":{"code":"RATE_LIMIT_EXCEEDED","message":"The rate limit has been exceeded","details":{"retry_after":12}}}"#
    );
}

#[test]
fn generic_has_the_guide_s_permissions_presets_and_rotation() {
    let profile = compiled("generic");
    let table: Vec<_> = profile.vocabulary.iter().map(|p| (&*p.name, &*p.description)).collect();
    assert_eq!(
        table,
        [
            ("read", "Can read data and generate content"),
            ("write", "Can create and update resources"),
            ("admin", "Full administrative access"),
            ("webhook", "Can manage webhooks"),
        ]
    );
    let presets: Vec<_> = profile.presets.iter().map(|p| (&*p.name, &*p.description)).collect();
    assert_eq!(
        presets,
        [
            ("Development", "For testing and development"),
            ("Production", "For live applications"),
            ("Read-only", "For monitoring and analytics"),
            ("Admin", "For administrative tasks"),
        ]
    );
    assert_eq!(profile.issuance.mode, IssuanceMode::SelfService);
    let rotation = Rotation { after_days: 90, required: false };
    assert_eq!(profile.issuance.rotation, Some(rotation));
    assert_eq!(permission("generic", Method::Post, "/v1/generate"), "read");
    let admin = profile.vocabulary.get("admin").unwrap();
    assert_eq!(profile.vocabulary.names(admin).count(), 4, "admin implies the others");
}

#[test]
fn freddy_answers_its_401_and_403_with_the_whole_envelope() {
    let profile = compiled("freddy");
    let unauthorized = r#"{
      "success": false,
      "error": {
        "code": "INVALID_API_KEY",
        "message": "The API key provided is invalid or has expired.",
        "system_message": "API key validation failed",
        "type": "client_error",
        "status": 401,
        "details": {},
        "trace_id": "abc-123-def",
        "timestamp": "2025-12-22T15:30:00Z"
      }
    }"#;
    let forbidden = r#"{
      "success": false,
      "error": {
        "code": "INSUFFICIENT_PERMISSIONS",
        "message": "You don't have permission to access this resource.",
        "system_message": "Insufficient permissions for this operation",
        "type": "client_error",
        "status": 403,
        "details": {},
        "trace_id": "abc-123-def",
        "timestamp": "2025-12-22T15:30:00Z"
      }
    }"#;
    use Reason as R;
    for reason in [
        R::MissingKey,
        R::MalformedKey,
        R::UnknownKey,
        R::RevokedKey,
        R::DisabledKey,
        R::ExpiredKey,
    ] {
        assert_eq!(body(&profile, reason), compact(unauthorized), "{}", reason.name());
    }
    for reason in [
        R::InsufficientPermission,
        R::SuspendedOrganization,
        R::ForeignNetwork,
        R::ForeignOrganization,
        R::ForeignModelId,
        R::ModelNotAllowed,
    ] {
        assert_eq!(body(&profile, reason), compact(forbidden), "{}", reason.name());
    }
    assert!(body(&profile, R::RateLimited).contains(r#""code":"RATE_LIMIT_EXCEEDED","#));
}

#[test]
fn freddy_refuses_a_key_of_another_length_exactly_like_an_unknown_one() {
    let profile = compiled("freddy");
    let of = |reason| answer(&profile, &denial(reason), false);
    assert_eq!(of(Reason::MalformedKey), of(Reason::UnknownKey));
}

#[test]
fn freddy_has_the_guide_s_key_format_plans_and_limit_headers() {
    let profile = compiled("freddy");
    assert_eq!(profile.key_header(), "X-API-Key");
    assert_eq!((profile.key_format.prefix(), profile.key_format.length()), ("ak_", 42));
    let minute = Duration::from_secs(60);
    let plans: Vec<(&str, Vec<Bound>)> = profile
        .limits
        .plans
        .iter()
        .map(|plan| (plan.name.as_str(), plan.limits.iter().map(|l| l.bound.clone()).collect()))
        .collect();
    let rate = |amount| vec![Bound::Rate { amount, window: minute }];
    assert_eq!(plans, [("Standard", rate(100)), ("Premium", rate(1000)), ("Enterprise", vec![])]);
    assert_eq!(profile.limits.default_plan, Some("standard".parse().unwrap()));
    assert_eq!(profile.limits.reset, Some(ResetForm::EpochSeconds));
    let headers = profile.limits.requests.unwrap();
    assert_eq!(
        (&*headers.limit, &*headers.remaining, &*headers.reset),
        ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    );
}

#[test]
fn mindo_answers_in_its_spanish_without_accents() {
    let profile = compiled("mindo");
    use Reason as R;
    let documented = [
        (R::MissingKey, 401, "Este endpoint requiere autenticacion con API Key (header X-API-Key)"),
        (R::ExpiredKey, 401, "API Key expirada"),
        (R::RevokedKey, 401, "API Key expirada"),
        (R::InsufficientPermission, 403, "API Key no tiene acceso a este recurso"),
        (R::UnknownKey, 401, "API Key invalida"),
        (R::MalformedKey, 401, "API Key invalida"),
        (R::RateLimited, 429, "Limite de solicitudes excedido"),
    ];
    for (reason, status, message) in documented {
        assert_eq!(profile.refusals.status(reason), status, "{}", reason.name());
        assert_eq!(body(&profile, reason), format!(r#"{{"detail":"{message}"}}"#));
    }
    for reason in Reason::ALL {
        let body = body(&profile, *reason);
        assert!(body.is_ascii() && body.starts_with(r#"{"detail":""#), "{body}");
        assert!(!body.contains("What was wrong"), "{} is not in Spanish", reason.name());
        let problem: Value =
            serde_json::from_str(&answer(&profile, &denial(*reason), true).body).unwrap();
        assert_eq!(problem["detail"], serde_json::from_str::<Value>(&body).unwrap()["detail"]);
    }
}

#[test]
fn mindo_has_the_guide_s_key_format_and_a_permission_for_each_endpoint() {
    let profile = compiled("mindo");
    assert_eq!(profile.key_header(), "X-API-Key");
    assert_eq!((profile.key_format.prefix(), profile.key_format.length()), ("mindo_", 30));
    let example = "mindo_xxxxxxxxxxxxxxxxxxxxxxxx";
    assert_eq!(profile.key_format.check(example.as_bytes()), Ok(()), "the guide's own example");
    assert_eq!(
        permission("mindo", Method::Get, "/api/v1/business-accounts/"),
        "business-accounts:read"
    );
    let routes = Routes::new(profile.routes);
    let without_slash = routes.find(Some(Method::Get), "/api/v1/business-accounts");
    assert!(matches!(without_slash, RouteMatch::Nothing), "the slash is part of the path");
}

#[test]
fn aiaas_answers_in_its_envelope_and_names_the_missing_scope() {
    let profile = compiled("aiaas");
    use Reason as R;
    let unauthorized =
        r#"{"error":{"code":"unauthorized","message":"Invalid or missing API key"}}"#;
    for reason in [R::MissingKey, R::MalformedKey, R::UnknownKey, R::RevokedKey, R::ExpiredKey] {
        assert_eq!(body(&profile, reason), unauthorized, "{}", reason.name());
    }
    assert_eq!(
        body(&profile, R::InsufficientPermission),
        r#"{"error":{"code":"insufficient_scope","message":"Insufficient permissions: the API key lacks the scope inference:write"}}"#
    );
    assert_eq!(
        body(&profile, R::RateLimited),
        r#"{"error":{"code":"rate_limit_exceeded","message":"Rate limit exceeded"}}"#
    );
    assert_eq!(header(&answer(&profile, &denial(R::RateLimited), false), "retry-after"), ["12"]);
}

#[test]
fn aiaas_has_the_guide_s_scopes_and_keys_by_request() {
    let profile = compiled("aiaas");
    let scopes: Vec<_> = profile.vocabulary.iter().map(|p| (&*p.name, &*p.description)).collect();
    assert_eq!(
        scopes,
        [
            ("inference:read", "Read inference capabilities"),
            ("inference:write", "Make inference requests"),
            ("analytics:read", "Access usage analytics"),
            ("admin", "Administrative operations"),
        ]
    );
    assert_eq!(profile.issuance.mode, IssuanceMode::Request);
    assert_eq!(permission("aiaas", Method::Post, "/v1/inference"), "inference:write");
    let admin = profile.vocabulary.get("admin").unwrap();
    assert_eq!(profile.vocabulary.names(admin).count(), 4, "admin implies all");
}

#[test]
fn the_vendors_errors_stand_in_their_public_envelopes() {
    let openai = compiled("openai");
    assert_eq!(
        body(&openai, Reason::ModelNotAllowed),
        r#"{"error":{"message":"The API key does not have access to model `gpt-4`.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
    );
    let anthropic = compiled("anthropic");
    assert_eq!(
        body(&anthropic, Reason::UnknownKey),
        r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"},"request_id":"abc-123-def"}"#
    );
    let kinds = [
        (Reason::InvalidBody, "invalid_request_error"),
        (Reason::MissingKey, "authentication_error"),
        (Reason::InsufficientPermission, "permission_error"),
        (Reason::UnknownRoute, "not_found_error"),
        (Reason::MethodNotAllowed, "invalid_request_error"),
        (Reason::BodyTooLarge, "request_too_large"),
        (Reason::RateLimited, "rate_limit_error"),
        (Reason::Internal, "api_error"),
        (Reason::GatewayTimeout, "timeout_error"),
        (Reason::Unavailable, "overloaded_error"),
    ];
    for (reason, kind) in kinds {
        let body = body(&anthropic, reason);
        assert!(body.contains(&format!(r#""error":{{"type":"{kind}""#)), "{body}");
    }
    assert_eq!(
        (&*openai.request_id.header, &*anthropic.request_id.header),
        ("x-request-id", "request-id")
    );
}

#[test]
fn every_real_system_demands_https() {
    for name in crate::SHIPPED {
        assert_eq!(compiled(name).https, Https::Required, "{name}");
    }
}
