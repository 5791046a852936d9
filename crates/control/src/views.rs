//! From what is kept to what is shown.

use std::collections::HashMap;

use keyward_api::{
    AccountView, ActorView, AuditEntryView, AuditProofView, InvitationView, KeyRequestDecisionView,
    KeyRequestStateView, KeyRequestView, KeyStateView, KeyTermsView, KeyView, MemberView,
    OrganizationStateView, OrganizationView, PersonView, PlaceView, RotationView, SecretStateView,
    SecretView, SessionView, SubjectView, UsageView, UserView,
};
use keyward_core::{
    id::SecretId,
    key::{Key, KeyState, Rotation, Secret},
    member::{Membership, User},
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use keyward_store::{
    AuditEntry, AuditId, AuditProof, Invitation, InvitationState, InvitedAs, KeyRecord, KeyRequest,
    KeyRequestState, KeyTerms, SecretUse, Session, UsageTotal, UserRecord,
};

use crate::limits;

const SECONDS_PER_MINUTE: u64 = 60;

pub(crate) fn key_state(key: &Key, now: Timestamp) -> KeyStateView {
    match key.state {
        KeyState::Revoked => KeyStateView::Revoked,
        KeyState::Disabled => KeyStateView::Disabled,
        KeyState::Active if key.expires_at.is_some_and(|at| at <= now) => KeyStateView::Expired,
        KeyState::Active => KeyStateView::Active,
    }
}

/// `uses` are told where one key is asked for; without them they are left open.
pub(crate) fn key(record: &KeyRecord, uses: &[SecretUse], now: Timestamp) -> KeyView {
    let key = &record.key;
    let uses: HashMap<SecretId, &SecretUse> = uses.iter().map(|one| (one.secret, one)).collect();
    let newest = record.secrets.last().map(|secret| secret.id);
    let secrets = record.secrets.iter().map(|one| {
        let used = uses.get(&one.id).copied();
        secret(one, used, newest == Some(one.id), now)
    });
    KeyView {
        id: key.id.to_string(),
        name: key.name.clone(),
        api: key.api.to_string(),
        organization_id: key.organization.to_string(),
        environment: key.environment.to_string(),
        permissions: key.permissions.clone(),
        allowed_networks: key.allowed_networks.iter().map(ToString::to_string).collect(),
        allowed_models: key.allowed_models.clone(),
        owner_id: key.owner.map(|owner| owner.to_string()),
        limits: limits::views(&key.limits),
        tags: key.labels.tags.clone(),
        metadata: key.labels.metadata.clone(),
        rotation: key
            .rotation
            .map(|Rotation { after_days, required }| RotationView { after_days, required }),
        state: key_state(key, now),
        revision: record.revision.get(),
        created_at: key.created_at.to_string(),
        expires_at: key.expires_at.map(|at| at.to_string()),
        secrets: secrets.collect(),
    }
}

fn secret(
    secret: &Secret,
    used: Option<&SecretUse>,
    is_newest: bool,
    now: Timestamp,
) -> SecretView {
    let state = match secret.expires_at {
        Some(at) if at <= now => SecretStateView::Expired,
        _ if is_newest => SecretStateView::Current,
        _ => SecretStateView::Retiring,
    };
    let last = used.and_then(|used| used.last);
    let last_used_at = secret.last_used_at.max(last.map(|(at, _)| at));
    SecretView {
        id: secret.id.to_string(),
        hint: secret.hint.clone(),
        state,
        created_at: secret.created_at.to_string(),
        expires_at: secret.expires_at.map(|at| at.to_string()),
        last_used_at: last_used_at.map(|at| at.to_string()),
        last_used_from: last.map(|(_, from)| from.to_string()),
        requests: used.map(|used| used.requests),
        requests_since_replaced: used.and_then(|used| used.since_replaced),
    }
}

pub(crate) fn organization(organization: &Organization) -> OrganizationView {
    OrganizationView {
        id: organization.id.to_string(),
        name: organization.name.clone(),
        state: match organization.state {
            OrganizationState::Active => OrganizationStateView::Active,
            OrganizationState::Suspended => OrganizationStateView::Suspended,
        },
        model_ids: organization.model_ids.iter().map(ToString::to_string).collect(),
        allowed_models: organization.allowed_models.clone(),
        plan: organization.plan.as_ref().map(ToString::to_string),
        limits: limits::views(&organization.limits),
        revision: 0,
        created_at: organization.created_at.to_string(),
    }
}

pub(crate) fn user(user: &User) -> UserView {
    UserView {
        id: user.id.to_string(),
        email: user.email.to_string(),
        name: user.name.clone(),
        operator: user.operator,
        created_at: user.created_at.to_string(),
    }
}

pub(crate) fn account(record: &UserRecord) -> AccountView {
    let place = |place: &Membership| PlaceView {
        organization_id: place.organization.to_string(),
        role: place.role.as_str().to_owned(),
        created_at: place.created_at.to_string(),
    };
    AccountView { user: user(&record.user), places: record.memberships.iter().map(place).collect() }
}

pub(crate) fn member(who: &User, place: &Membership) -> MemberView {
    MemberView {
        user: user(who),
        role: place.role.as_str().to_owned(),
        member_since: place.created_at.to_string(),
    }
}

pub(crate) fn session(session: &Session, current: bool) -> SessionView {
    SessionView {
        id: session.id.to_string(),
        device: session.device.clone(),
        begun_from: session.from.to_string(),
        created_at: session.created_at.to_string(),
        expires_at: session.expires_at.to_string(),
        last_used_at: session.last_used_at.map(|at| at.to_string()),
        current,
    }
}

pub(crate) fn invitation(invitation: &Invitation, now: Timestamp) -> InvitationView {
    let (organization_id, role) = match &invitation.to {
        InvitedAs::Member { organization, role } => {
            (Some(organization.to_string()), Some(role.as_str().to_owned()))
        }
        InvitedAs::Operator => (None, None),
    };
    let state = match invitation.state {
        InvitationState::Open if invitation.expires_at <= now => "expired",
        state => state.as_str(),
    };
    InvitationView {
        id: invitation.id.to_string(),
        email: invitation.email.to_string(),
        organization_id,
        role,
        state: state.to_owned(),
        created_at: invitation.created_at.to_string(),
        expires_at: invitation.expires_at.to_string(),
    }
}

pub(crate) fn key_request_state(request: &KeyRequest, now: Timestamp) -> KeyRequestStateView {
    let lapses = request.granted.as_ref().map(|granted| granted.claim_until);
    match request.state {
        KeyRequestState::Open if request.decide_until <= now => KeyRequestStateView::Expired,
        KeyRequestState::Open => KeyRequestStateView::Open,
        KeyRequestState::Approved if lapses.is_some_and(|at| at <= now) => {
            KeyRequestStateView::Lapsed
        }
        KeyRequestState::Approved => KeyRequestStateView::Approved,
        KeyRequestState::Denied => KeyRequestStateView::Denied,
        KeyRequestState::Withdrawn => KeyRequestStateView::Withdrawn,
        KeyRequestState::Claimed => KeyRequestStateView::Claimed,
    }
}

fn key_terms(terms: &KeyTerms) -> KeyTermsView {
    KeyTermsView {
        permissions: terms.permissions.clone(),
        lifetime_seconds: terms.lifetime_seconds,
        allowed_networks: terms.allowed_networks.iter().map(ToString::to_string).collect(),
        allowed_models: terms.allowed_models.clone(),
        limits: limits::views(&terms.limits),
    }
}

/// The people in it are told beside it.
pub(crate) fn key_request(
    request: &KeyRequest,
    requester: PersonView,
    decision: Option<KeyRequestDecisionView>,
    now: Timestamp,
) -> KeyRequestView {
    let granted = request.granted.as_ref();
    KeyRequestView {
        id: request.id.to_string(),
        organization_id: request.organization.to_string(),
        requester,
        api: request.api.to_string(),
        name: request.name.clone(),
        environment: request.environment.to_string(),
        reason: request.reason.clone(),
        asked: key_terms(&request.asked),
        state: key_request_state(request, now),
        created_at: request.created_at.to_string(),
        decide_until: request.decide_until.to_string(),
        decision,
        granted: granted.map(|granted| key_terms(&granted.terms)),
        claim_until: granted.map(|granted| granted.claim_until.to_string()),
        key_id: request.key.map(|key| key.to_string()),
    }
}

pub(crate) fn usage(total: &UsageTotal) -> UsageView {
    let minute =
        |minute: u64| Timestamp::from_secs(minute.saturating_mul(SECONDS_PER_MINUTE)).to_string();
    let (sums, group) = (&total.sums, &total.group);
    UsageView {
        api: group.api.clone().unwrap_or_default(),
        route: group.route.clone().unwrap_or_default(),
        key_id: group.key.flatten().map(|key| key.to_string()),
        status: group.status.unwrap_or_default(),
        requests: sums.requests,
        bytes_in: sums.bytes_in,
        bytes_out: sums.bytes_out,
        mean_latency_micros: sums.latency_micros.checked_div(sums.requests).unwrap_or_default(),
        first_at: minute(total.first_minute),
        last_at: minute(total.last_minute),
    }
}

/// `known_as` is what the person or key that acted is known by now, where it was one: an address, or a key's name.
pub(crate) fn audit_entry(entry: AuditEntry, known_as: Option<String>) -> AuditEntryView {
    AuditEntryView {
        id: entry.id.get(),
        at: entry.at.to_string(),
        actor: ActorView {
            kind: entry.actor.kind.as_str().to_owned(),
            user_id: entry.actor.person.map(|person| person.to_string()),
            key_id: entry.actor.key.map(|key| key.to_string()),
            name: known_as.unwrap_or(entry.actor.name),
            address: entry.actor.address.map(|address| address.to_string()),
            interface: entry.actor.interface.as_str().to_owned(),
        },
        action: entry.action,
        subject: SubjectView { kind: entry.subject.kind().to_owned(), id: entry.subject.id() },
        organization_id: entry.organization.map(|id| id.to_string()),
        before: entry.before,
        after: entry.after,
        outcome: entry.outcome,
        revision: entry.revision.map(keyward_store::Revision::get),
    }
}

pub(crate) fn audit_proof(proof: &AuditProof) -> AuditProofView {
    match proof {
        AuditProof::Whole { head, newest } => AuditProofView::Whole {
            entries: head.entries,
            newest: newest.map(AuditId::get),
            head: head.to_string(),
        },
        AuditProof::Broken(found) => AuditProofView::Broken {
            what: found.word().to_owned(),
            entry: found.entry(),
            message: found.to_string(),
        },
    }
}
