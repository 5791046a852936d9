//! What is promised of organizations, their model ids, and upstream credentials.

use keyward_core::{
    id::ModelId,
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use keyward_store::{Change, SealedBytes, StoreError};

use super::{
    Bed, NOW, commit, later, models, organization, organization_id, trace, with_organization,
};

fn model(id: &str) -> ModelId {
    id.parse().unwrap()
}

pub(crate) async fn an_organization_reads_back_with_its_model_ids(bed: Bed) {
    let whole = Organization {
        name: "Müller & Söhne 🏭".to_owned(),
        state: OrganizationState::Suspended,
        model_ids: vec![model("zeta"), model("123456789x12345678"), model("alpha")],
        allowed_models: Some(vec!["m-1".to_owned(), "ü".to_owned()]),
        created_at: Timestamp::from_millis(1_800_000_000_123),
        ..organization("whole")
    };
    let closed = Organization { allowed_models: Some(vec![]), ..organization("closed") };
    for new in [whole.clone(), closed.clone(), organization("plain")] {
        commit(&bed.store, Change::CreateOrganization(new)).await.unwrap();
    }
    assert_eq!(bed.store.organization(&whole.id).await.unwrap(), Some(whole.clone()));
    let all = bed.store.organizations().await.unwrap();
    assert_eq!(all, [whole, closed, organization("plain")]);
    assert_eq!(bed.store.organization(&organization_id("nobody")).await.unwrap(), None);
}

pub(crate) async fn an_organizations_id_is_taken_once(bed: Bed) {
    with_organization(&bed.store).await;
    let again = commit(&bed.store, Change::CreateOrganization(organization("org"))).await;
    assert_eq!(again, Err(StoreError::OrganizationExists(organization_id("org"))));
}

pub(crate) async fn a_model_id_belongs_to_one_and_whose_is_not_said(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, Change::CreateOrganization(organization("rival"))).await.unwrap();
    let assign =
        |to| Change::AssignModelId { organization: organization_id(to), model: model("m") };
    let withdraw =
        |from| Change::WithdrawModelId { organization: organization_id(from), model: model("m") };
    let first = commit(&bed.store, assign("org")).await.unwrap();
    assert_eq!(commit(&bed.store, assign("org")).await, Ok(first), "again leaves no trace");
    let taken = commit(&bed.store, assign("rival")).await.unwrap_err();
    assert_eq!(taken, StoreError::ModelTaken(model("m")));
    assert!(!taken.to_string().contains("org"), "{taken}");
    let not_theirs = commit(&bed.store, withdraw("rival")).await.unwrap_err();
    commit(&bed.store, withdraw("org")).await.unwrap();
    let nobodys = commit(&bed.store, withdraw("rival")).await.unwrap_err();
    assert_eq!(not_theirs, nobodys, "somebody else's and nobody's look the same");
    commit(&bed.store, assign("rival")).await.unwrap();
    let rival = bed.store.organization(&organization_id("rival")).await.unwrap().unwrap();
    assert_eq!(rival.model_ids, [model("m")]);
}

pub(crate) async fn an_organization_that_cannot_be_made_leaves_nothing(bed: Bed) {
    let first = Organization { model_ids: vec![model("m")], ..organization("first") };
    commit(&bed.store, Change::CreateOrganization(first)).await.unwrap();
    let before = trace(&bed.store).await;
    let second =
        Organization { model_ids: vec![model("free"), model("m")], ..organization("second") };
    let refused = commit(&bed.store, Change::CreateOrganization(second)).await;
    assert_eq!(refused, Err(StoreError::ModelTaken(model("m"))));
    let nameless = Organization { name: String::new(), ..organization("second") };
    let refused = commit(&bed.store, Change::CreateOrganization(nameless)).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })));
    assert_eq!(bed.store.organization(&organization_id("second")).await.unwrap(), None);
    assert_eq!(trace(&bed.store).await, before);
    let free =
        Change::AssignModelId { organization: organization_id("first"), model: model("free") };
    commit(&bed.store, free).await.unwrap();
}

pub(crate) async fn state_and_models_change_and_the_same_again_leaves_no_trace(bed: Bed) {
    with_organization(&bed.store).await;
    let organization = organization_id("org");
    let changes = [
        Change::SetOrganizationState {
            organization: organization.clone(),
            state: OrganizationState::Suspended,
        },
        Change::UpdateOrganization {
            organization: organization.clone(),
            update: models(Some(vec!["m".to_owned()])),
            seen: None,
        },
    ];
    for change in changes {
        let first = commit(&bed.store, change.clone()).await.unwrap();
        let before = trace(&bed.store).await;
        assert_eq!(commit(&bed.store, change).await.unwrap(), first);
        assert_eq!(trace(&bed.store).await, before);
    }
    let now = bed.store.organization(&organization).await.unwrap().unwrap();
    assert_eq!(now.state, OrganizationState::Suspended);
    assert_eq!(now.allowed_models, Some(vec!["m".to_owned()]));
    let every = Change::UpdateOrganization {
        organization: organization.clone(),
        update: models(None),
        seen: None,
    };
    commit(&bed.store, every).await.unwrap();
    let now = bed.store.organization(&organization).await.unwrap().unwrap();
    assert_eq!(now.allowed_models, None);
}

pub(crate) async fn changes_to_nobody_are_refused(bed: Bed) {
    let nobody = organization_id("nobody");
    let changes = [
        Change::SetOrganizationState {
            organization: nobody.clone(),
            state: OrganizationState::Active,
        },
        Change::UpdateOrganization {
            organization: nobody.clone(),
            update: models(None),
            seen: None,
        },
        Change::AssignModelId { organization: nobody.clone(), model: model("m") },
        Change::WithdrawModelId { organization: nobody.clone(), model: model("m") },
    ];
    for change in changes {
        let refused = commit(&bed.store, change).await;
        assert_eq!(refused, Err(StoreError::NoSuchOrganization(nobody.clone())));
    }
}

pub(crate) async fn an_upstream_credential_is_kept_replaced_and_forgotten(bed: Bed) {
    let set = |upstream: &str, bytes: &[u8]| Change::SetUpstreamCredential {
        upstream: upstream.to_owned(),
        sealed: SealedBytes::from_bytes(bytes),
    };
    commit(&bed.store, set("two", &[0, 1, 255])).await.unwrap();
    commit(&bed.store, set("one", b"first")).await.unwrap();
    bed.store.commit(&super::actor(), later(5), set("one", b"second")).await.unwrap();
    let held = bed.store.upstream_credentials().await.unwrap();
    let seen: Vec<_> =
        held.iter().map(|c| (c.upstream.as_str(), c.sealed.as_bytes(), c.set_at)).collect();
    assert_eq!(
        seen,
        [("one", b"second".as_slice(), later(5)), ("two", [0, 1, 255].as_slice(), NOW)]
    );
    let remove = || Change::RemoveUpstreamCredential { upstream: "two".to_owned() };
    commit(&bed.store, remove()).await.unwrap();
    let gone = StoreError::NoSuchUpstreamCredential("two".to_owned());
    assert_eq!(commit(&bed.store, remove()).await, Err(gone));
    assert_eq!(bed.store.upstream_credentials().await.unwrap().len(), 1);
}
