//! What every engine promises, each promise a test of its own.
//!
//! An engine's test file says how to come by an empty store, twice opened, and calls `every_promise!`. The promises know
//! the trait only: what SQLite does and PostgreSQL does not has no place here.

pub(crate) mod alerts;
pub(crate) mod bypassed;
pub(crate) mod chain;
pub(crate) mod counters;
pub(crate) mod feed;
pub(crate) mod identities;
pub(crate) mod imported;
pub(crate) mod keys;
pub(crate) mod loading;
pub(crate) mod management_keys;
pub(crate) mod nodes;
pub(crate) mod once;
pub(crate) mod organizations;
pub(crate) mod people;
pub(crate) mod plans;
pub(crate) mod requests;
pub(crate) mod taken_away;
pub(crate) mod updates;
pub(crate) mod usage;
pub(crate) mod waking;
pub(crate) mod webhooks;

use std::{any::Any, sync::Arc};

use keyward_core::{
    id::{KeyId, OrganizationId, SecretId},
    key::{Digest, Key, KeyState, Labels, PepperVersion, Secret},
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use keyward_store::{
    Actor, AuditEntry, AuditFilter, Change, ChangeEntry, Feed, Interface, OrganizationUpdate, Page,
    Revision, Store, StoreError,
};

/// An empty truth, opened twice, as by two processes.
pub(crate) struct Bed {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) second: Arc<dyn Store>,
    /// Opens it once more, as by a process that starts.
    pub(crate) again: Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>,
    /// What must live as long as the stores, like a folder that is removed at the end.
    #[allow(dead_code, reason = "it is only kept")]
    pub(crate) keep: Box<dyn Any + Send + Sync>,
}

macro_rules! every_promise {
    ($bed:path) => {
        every_promise! { $bed;
            keys:
                a_created_key_is_there_whole,
                every_field_reads_back,
                a_key_needs_its_organization,
                ids_and_digests_are_used_once,
                a_key_that_contradicts_itself_is_refused,
                a_name_is_one_keys_until_it_is_revoked,
                no_more_keys_than_the_api_allows,
                only_one_of_many_at_once_gets_the_last_place,
                revoked_is_final,
                the_same_state_again_leaves_no_trace,
                rotation_gives_the_old_secrets_an_end_and_never_a_later_one,
                retiring_brings_an_end_forward_and_never_back,
                an_exposed_key_is_noted_once_an_hour_and_disabled_where_asked,
                lists_are_filtered_and_paged_in_the_order_of_creation,
                a_cursor_that_is_no_key_is_an_error;
            organizations:
                an_organization_reads_back_with_its_model_ids,
                an_organizations_id_is_taken_once,
                a_model_id_belongs_to_one_and_whose_is_not_said,
                an_organization_that_cannot_be_made_leaves_nothing,
                state_and_models_change_and_the_same_again_leaves_no_trace,
                changes_to_nobody_are_refused,
                an_upstream_credential_is_kept_replaced_and_forgotten;
            plans:
                a_plan_reads_back_and_is_one_in_any_case,
                what_changes_in_a_plan_is_told,
                a_plan_that_organizations_are_on_stays,
                nobody_comes_onto_a_plan_that_goes_meanwhile,
                a_profiles_plan_need_not_stand_in_the_store,
                prices_are_kept_replaced_and_forgotten,
                an_outdated_look_changes_no_plan_and_no_price,
                limits_stand_at_organizations_and_keys,
                plans_and_prices_are_loaded_before_all_else,
                members_change_no_plan_and_no_limit_of_their_organization;
            feed:
                revisions_have_no_gap_under_concurrent_commits,
                the_feed_tells_every_change_in_order,
                a_refused_change_leaves_no_trace,
                one_bad_change_does_not_hurt_those_beside_it,
                every_change_has_its_audit_entry,
                the_audit_log_is_paged_newest_first,
                the_audit_log_holds_no_secret,
                a_reader_behind_the_trimmed_feed_is_told_of_a_gap,
                a_reader_ahead_of_the_store_is_told_of_a_gap;
            imported:
                what_is_kept_of_an_imported_secret_reads_back,
                an_upgrade_keeps_our_digest_in_place_of_the_others,
                an_upgrade_never_takes_another_secrets_digest,
                few_secrets_with_bcrypt_hashes_begin_alike,
                a_rehearsal_tells_what_would_be_and_leaves_no_trace;
            updates:
                what_is_changed_of_a_key_reads_back_and_the_rest_stays,
                a_change_of_what_was_changed_since_is_refused,
                a_change_that_contradicts_what_is_there_is_refused,
                keys_are_found_by_what_is_written_on_them,
                keys_are_found_by_their_end_and_their_last_use,
                a_secret_in_use_is_retired_only_by_force,
                the_audit_log_is_narrowed_to_an_organization_and_more;
            counters:
                counters_are_kept_as_they_were_saved_last,
                counters_are_forgotten_when_their_time_is_long_over;
            nodes:
                a_receipt_says_when_each_gateway_had_applied_a_revision,
                people_are_reminded_of_a_thing_once;
            loading:
                an_empty_store_loads_as_nothing,
                load_gives_everything_with_old_secrets_and_revoked_keys,
                load_is_of_exactly_its_revision;
            people:
                the_setup_token_makes_one_operator_once,
                who_signs_up_owns_an_organization_of_their_own,
                a_session_is_found_by_its_token_until_it_is_ended,
                a_new_password_ends_the_other_sessions,
                an_invitation_opens_one_door_once,
                an_invitation_can_be_taken_back_and_its_end_makes_room,
                an_organization_invites_so_many_in_a_day_and_no_more,
                an_organization_keeps_an_owner,
                a_key_is_as_good_as_its_owners_role,
                no_token_and_no_password_is_told_of,
                what_a_person_may_is_looked_up_when_a_change_is_done,
                who_belongs_elsewhere_is_told_that_nothing_is_there;
            requests:
                a_request_is_approved_for_less_and_claimed_once,
                a_request_ends_in_one_way,
                requests_and_approvals_grow_too_old,
                nothing_is_granted_that_was_not_asked,
                who_decides_adds_limits_and_takes_none_away,
                a_claimed_key_is_exactly_what_was_granted,
                who_may_ask_decide_and_claim,
                a_request_that_contradicts_itself_is_refused,
                a_member_has_so_many_requests_and_no_more,
                requests_are_filtered_and_paged_newest_first;
            taken_away:
                an_invitation_by_who_could_not_make_it_now_opens_nothing,
                who_came_to_be_known_meanwhile_logs_in_to_accept,
                a_password_that_was_changed_meanwhile_opens_nothing,
                a_cursor_of_another_organization_is_as_unknown_as_none;
            bypassed:
                a_member_makes_no_key_nobodys,
                who_acts_by_a_management_key_acts_in_their_own_name,
                members_narrow_models_and_widen_none,
                the_last_secret_of_a_key_stays,
                who_joins_is_told_of_as_a_member,
                an_account_elsewhere_opens_no_invitation_that_a_token_would_not;
            management_keys:
                a_key_is_shown_by_any_of_its_digests_with_all_that_says_whether_it_is_good,
                what_a_key_may_is_looked_up_when_a_change_is_done,
                a_key_that_is_not_good_changes_nothing,
                a_key_belongs_to_one_organization_unless_it_operates,
                who_hands_out_a_management_key_has_what_it_may;
            once:
                a_change_is_done_once_and_its_answer_is_kept_with_it,
                a_refused_change_keeps_no_answer,
                an_answer_is_kept_for_its_time_and_the_request_for_longer,
                only_one_of_many_at_once_is_done;
            identities:
                a_person_is_found_by_the_issuers_name_for_them,
                who_was_invited_comes_by_an_account_elsewhere,
                who_is_enrolled_becomes_a_member_and_nothing_more,
                a_password_that_is_maybe_somebody_elses_goes_with_the_first_proof;
            usage:
                usage_is_added_up_per_scope,
                many_sums_told_at_once_are_told_as_they_were,
                usage_is_narrowed_by_every_filter,
                figures_stay_at_their_maximum,
                every_range_is_added_up_exactly_whatever_rows_it_is_made_of,
                usage_is_told_apart_by_whatever_is_asked,
                pages_of_usage_make_up_the_whole,
                old_usage_is_cleared_grain_by_grain,
                a_time_of_many_rows_is_cleared_in_pieces,
                what_is_made_of_too_many_rows_is_refused,
                last_uses_go_forward_only,
                requests_of_a_replaced_secret_are_told_apart,
                what_is_recorded_makes_no_revision,
                exposures_in_a_batch_are_left_to_the_caller;
            alerts:
                a_rule_reads_back_and_is_changed_and_removed,
                a_thing_is_raised_once_and_quiet_after,
                who_may_see_to_alert_rules,
                a_rule_that_is_not_looked_at_has_raised_nothing,
                an_organization_sees_what_its_own_rules_raised,
                one_at_a_time_has_the_turn_to_look,
                what_is_long_over_is_forgotten_behind_its_quiet_time,
                a_key_is_known_by_its_newest_networks;
            webhooks:
                of_many_that_are_over_the_oldest_are_forgotten_in_pieces,
                what_is_due_is_told_webhook_by_webhook,
                what_is_somewhere_else_has_not_failed,
                no_secret_that_is_good_is_dropped_by_rotations,
                a_webhook_reads_back_and_is_changed_and_removed,
                a_webhook_that_contradicts_itself_is_refused,
                a_change_is_told_to_who_wants_to_hear_of_it,
                a_delivery_is_one_senders_until_its_lease_is_over,
                what_is_given_up_on_hears_nothing_more,
                old_secrets_stay_good_until_they_are_retired,
                old_deliveries_are_forgotten_and_what_waits_is_not,
                who_may_see_to_webhooks;
            waking:
                two_stores_see_each_others_changes,
                changes_through_two_stores_share_one_order,
                a_waiter_is_woken_by_its_own_store,
                a_waiter_is_woken_by_another_store,
                a_waiter_that_is_behind_does_not_wait,
                the_health_check_writes_and_changes_nothing;
            chain:
                an_empty_log_is_whole,
                the_chain_holds_after_changes_of_every_kind,
                the_chain_holds_after_many_changes_at_once,
                the_chain_holds_after_a_restart,
                what_is_checked_is_of_one_moment,
                refused_changes_leave_the_chain_as_it_is,
                what_was_noted_is_found_again_and_another_head_is_not;
        }
    };
    ($bed:path; $($group:ident: $($promise:ident),+;)+) => {
        $(mod $group {
            $(#[tokio::test]
            async fn $promise() {
                crate::conformance::$group::$promise($bed().await).await;
            })+
        })+
    };
}
pub(crate) use every_promise;

/// The moment most things happen at.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) fn later(secs: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + secs)
}

pub(crate) fn actor() -> Actor {
    Actor::operator("ada", Interface::CommandLine)
}

fn bits(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

pub(crate) fn key_id(number: u64) -> KeyId {
    KeyId::from_bits(bits(number))
}

pub(crate) fn secret_id(number: u64) -> SecretId {
    SecretId::from_bits(bits(number))
}

pub(crate) fn organization_id(name: &str) -> OrganizationId {
    name.parse().unwrap()
}

pub(crate) fn organization(id: &str) -> Organization {
    Organization {
        id: organization_id(id),
        name: format!("The {id}"),
        state: OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: NOW,
        limits: vec![],
        plan: None,
    }
}

/// Key `number` of organization `org` at API `api`.
pub(crate) fn key(number: u64) -> Key {
    Key {
        id: key_id(number),
        organization: organization_id("org"),
        api: "api".parse().unwrap(),
        name: format!("key {number}"),
        environment: "production".parse().unwrap(),
        permissions: vec!["models.read".to_owned()],
        allowed_networks: vec![],
        allowed_models: None,
        state: KeyState::Active,
        created_at: NOW,
        expires_at: None,
        owner: None,
        labels: Labels::default(),
        rotation: None,
        limits: vec![],
    }
}

/// Secret `number`, of the key of the same number.
pub(crate) fn secret(number: u64) -> Secret {
    secret_of(number, number)
}

pub(crate) fn secret_of(number: u64, key: u64) -> Secret {
    let mut digest = [0xd1; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    Secret {
        id: secret_id(number),
        key: key_id(key),
        digest: Digest::from_bytes(digest),
        pepper: PepperVersion(1),
        hint: format!("kw_aaa…z{number}"),
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
        form: Default::default(),
    }
}

pub(crate) fn creation(number: u64) -> Change {
    Change::CreateKey { key: key(number), secret: secret(number), most_active: None }
}

pub(crate) fn state(number: u64, state: KeyState) -> Change {
    Change::SetKeyState { key: key_id(number), state }
}

pub(crate) async fn commit(store: &Arc<dyn Store>, change: Change) -> Result<Revision, StoreError> {
    store.commit(&actor(), NOW, change).await
}

/// Makes organization `org`.
pub(crate) async fn with_organization(store: &Arc<dyn Store>) {
    commit(store, Change::CreateOrganization(organization("org"))).await.unwrap();
}

/// An update of which models an organization's keys may ask for.
pub(crate) fn models(allowed: Option<Vec<String>>) -> OrganizationUpdate {
    OrganizationUpdate { allowed_models: Some(allowed), ..OrganizationUpdate::default() }
}

/// All that leaves a trace of a change: the revision, the feed, the audit log.
pub(crate) async fn trace(store: &Arc<dyn Store>) -> (Revision, Vec<ChangeEntry>, Vec<AuditEntry>) {
    let Feed::Entries(feed) = store.changes_since(Revision::ZERO, 100_000).await.unwrap() else {
        panic!("a gap in a feed that nobody trimmed");
    };
    (
        store.revision().await.unwrap(),
        feed,
        store.audit(&AuditFilter::default(), Page::first(1000)).await.unwrap(),
    )
}
