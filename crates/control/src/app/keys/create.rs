//! Making a key: what was asked for is held against the profile of its API, and every mistake says what would be right.

use std::{collections::BTreeSet, time::Duration};

use keyward_core::{
    id::{ApiName, KeyId, OrganizationId, UserId},
    key::{Environment, Key, KeyState, Labels, Rotation},
    limit::Limit,
    network::Network,
    policy::Api,
    profile::{IssuanceMode, Preset},
    time::Timestamp,
};
use keyward_store::{Change, KeyRecord, Revision};

use super::{super::Control, Issued, right_to};
use crate::{context::Context, error::ControlError, limits::check_of_key, mint};

const LONGEST_MODEL_NAME: usize = 200;
/// The gateway looks through these lists at each request.
const MOST_MODELS: usize = 500;
const MOST_NETWORKS: usize = 100;
/// What ends later was mistyped; far beyond, a moment can no longer be written and would look like none.
pub(in crate::app) const LONGEST_LIFE: Duration = Duration::from_secs(365_250 * 24 * 3600);

/// What a new key shall be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Which API it opens.
    pub api: ApiName,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What people will call it.
    pub name: String,
    /// What it is used for; the preset's where left out, else `production`.
    pub environment: Option<Environment>,
    /// Names from the vocabulary. Either these or a preset.
    pub permissions: Vec<String>,
    /// A named bundle of the profile, in any case.
    pub preset: Option<String>,
    /// From when on it is refused, if ever.
    pub expires_at: Option<Timestamp>,
    /// Networks it may be used from; empty means from everywhere.
    pub allowed_networks: Vec<Network>,
    /// Models it may ask for; `None` means every model.
    pub allowed_models: Option<Vec<String>>,
    /// By what people sort and find it.
    pub labels: Labels,
    /// How old its secrets may become; left out, as the profile says.
    pub rotation: Option<Rotation>,
    /// How much it may use, besides what its organization may.
    pub limits: Vec<Limit>,
    /// The member who answers for it; left out, the member who makes it, or nobody where an operator does.
    pub owner: Option<UserId>,
}

impl Control {
    /// Makes a key with its first secret.
    pub async fn create_key(&self, context: &Context, new: NewKey) -> Result<Issued, ControlError> {
        let owner = new.owner.or(context.answers_for_keys());
        context.require(right_to(context, owner), &new.organization)?;
        self.repeat(context)?;
        let (key, api) = self.draft(context, new, owner).await?;
        let minted = self.mint_secret(&key, api, context.now)?;
        let change = Change::CreateKey {
            key: key.clone(),
            secret: minted.secret.clone(),
            most_active: api.profile.issuance.keys_per_organization,
        };
        let (id, secret) = (key.id, minted.secret.id);
        let (revision, secrets) = (Revision::ZERO, vec![minted.secret]);
        let record = KeyRecord { key, owner_role: None, revision, secrets };
        let issued = Issued { plaintext: minted.plaintext, secret, record };
        self.commit_issued(context, change, id, issued).await
    }

    /// The key that was asked for, held against the profile of its API. Whether the caller may is asked before.
    pub(in crate::app) async fn draft(
        &self,
        context: &Context,
        new: NewKey,
        owner: Option<UserId>,
    ) -> Result<(Key, &Api), ControlError> {
        let api = self.api(&new.api)?;
        check_mode(context, api)?;
        let preset = new.preset.as_deref().map(|name| preset(api, name)).transpose()?;
        let permissions = permissions(api, &new.permissions, preset)?;
        self.check_ceilings(context, api, &new.organization, owner, &permissions).await?;
        check_rotation(context, api, new.rotation)?;
        check_expiry(new.expires_at, context.now)?;
        check_models(new.allowed_models.as_deref())?;
        check_networks(&new.allowed_networks)?;
        check_of_key(api, &new.limits)?;
        let environment = match new.environment {
            Some(environment) => environment,
            None => preset_environment(preset)?,
        };
        let key = Key {
            id: KeyId::from_bits(mint::random()?),
            organization: new.organization,
            api: new.api,
            name: new.name,
            environment,
            permissions,
            allowed_networks: new.allowed_networks,
            allowed_models: new.allowed_models,
            state: KeyState::Active,
            created_at: context.now,
            expires_at: new.expires_at,
            owner,
            labels: new.labels,
            rotation: new.rotation,
            limits: new.limits,
        };
        context.require_within(&key)?;
        context.require_in_own_name(&key)?;
        Ok((key, api))
    }
}

/// Who uses a key must come to replace its secret now and then; or be reminded. Where the API demands it, only who runs this Keyward
/// lets a key off.
pub(super) fn check_rotation(
    context: &Context,
    api: &Api,
    rotation: Option<Rotation>,
) -> Result<(), ControlError> {
    let demanded = api
        .profile
        .issuance
        .rotation
        .filter(|demanded| demanded.required && context.require_operator().is_err());
    match (rotation, demanded) {
        (Some(rotation), Some(demanded))
            if !rotation.required || rotation.after_days > demanded.after_days =>
        {
            return Err(ControlError::invalid(
                format!(
                    "API `{}` demands that secrets are replaced after {} days",
                    api.name, demanded.after_days
                ),
                "demand the same or sooner, or leave the rotation out",
            ));
        }
        _ => {}
    }
    match rotation {
        Some(rotation) if !(1..=Rotation::MOST_DAYS).contains(&rotation.after_days) => {
            Err(ControlError::invalid(
                format!("secrets would be replaced after {} days", rotation.after_days),
                format!("choose 1 to {} days", Rotation::MOST_DAYS),
            ))
        }
        _ => Ok(()),
    }
}

/// Where keys are given out by staff, or asked for and approved, members do not make them.
fn check_mode(context: &Context, api: &Api) -> Result<(), ControlError> {
    let mode = api.profile.issuance.mode;
    match mode == IssuanceMode::SelfService || context.require_operator().is_ok() {
        true => Ok(()),
        false => Err(given_otherwise(api)),
    }
}

/// How keys, and more for a key, are come by where members do not make them.
pub(super) fn given_otherwise(api: &Api) -> ControlError {
    match api.profile.issuance.mode {
        IssuanceMode::Request => ControlError::ByRequest(api.name.clone()),
        IssuanceMode::SelfService | IssuanceMode::Staff => ControlError::ByStaff(api.name.clone()),
    }
}

pub(in crate::app) fn preset<'a>(api: &'a Api, name: &str) -> Result<&'a Preset, ControlError> {
    api.profile.preset(name).ok_or_else(|| {
        let known: Vec<_> = api.profile.presets.iter().map(|p| p.name.as_str()).collect();
        let remedy = match known.as_slice() {
            [] => "this API has no presets, name permissions".to_owned(),
            known => format!("use one of {}", known.join(", ")),
        };
        ControlError::invalid(format!("API `{}` has no preset `{name}`", api.name), remedy)
    })
}

pub(in crate::app) fn permissions(
    api: &Api,
    named: &[String],
    preset: Option<&Preset>,
) -> Result<Vec<String>, ControlError> {
    let vocabulary = &api.profile.vocabulary;
    let named = match (named, preset) {
        (named, None) => named,
        ([], Some(preset)) => &preset.permissions,
        (_, Some(preset)) => {
            return Err(ControlError::invalid(
                format!("permissions and the preset `{}` are both given", preset.name),
                "give one of them: a preset is a bundle of permissions",
            ));
        }
    };
    if named.is_empty() && vocabulary.iter().next().is_some() {
        let presets: Vec<_> = api.profile.presets.iter().map(|p| p.name.as_str()).collect();
        let or_preset = match presets.as_slice() {
            [] => String::new(),
            presets => format!(", or a preset of {}", presets.join(", ")),
        };
        return Err(ControlError::invalid(
            "the key would be allowed nothing",
            format!("give it permissions of {}{or_preset}", vocabulary.listed()),
        ));
    }
    if let Some(unknown) = named.iter().find(|name| vocabulary.get(name).is_none()) {
        let remedy = match vocabulary.listed() {
            listed if listed.is_empty() => "it has none, leave permissions out".to_owned(),
            listed => format!("use some of {listed}"),
        };
        return Err(ControlError::invalid(
            format!("API `{}` has no permission `{unknown}`", api.name),
            remedy,
        ));
    }
    let mut seen = BTreeSet::new();
    Ok(named.iter().filter(|name| seen.insert(name.as_str())).cloned().collect())
}

pub(in crate::app) fn preset_environment(
    preset: Option<&Preset>,
) -> Result<Environment, ControlError> {
    let name = preset.and_then(|preset| preset.environment.as_deref());
    // A profile with a preset of no real environment does not load, so the remedy is never needed.
    name.unwrap_or(Environment::DEFAULT)
        .parse()
        .map_err(|error| ControlError::invalid(format!("{error}"), "name an environment"))
}

pub(super) fn check_expiry(
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), ControlError> {
    match expires_at {
        Some(at) if at <= now => Err(ControlError::invalid(
            format!("the key would expire at {at}, and it is {now} already"),
            "choose a later moment, or leave it out for a key without an end",
        )),
        Some(at) if at > now.plus(LONGEST_LIFE) => Err(ControlError::invalid(
            "the key would expire more than 1,000 years from now",
            "choose an earlier moment, or leave it out for a key without an end",
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_networks(networks: &[Network]) -> Result<(), ControlError> {
    match networks.len() {
        0..=MOST_NETWORKS => Ok(()),
        count => Err(ControlError::invalid(
            format!("the key would be bound to {count} networks"),
            format!("name {MOST_NETWORKS} at most: wider ones hold many"),
        )),
    }
}

pub(crate) fn check_models(models: Option<&[String]>) -> Result<(), ControlError> {
    let fits = |name: &String| {
        (1..=LONGEST_MODEL_NAME).contains(&name.chars().count())
            && !name.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    let models = models.unwrap_or_default();
    if models.len() > MOST_MODELS {
        return Err(ControlError::invalid(
            format!("{} models are named", models.len()),
            format!("name {MOST_MODELS} at most, or leave the list out for every model"),
        ));
    }
    match models.iter().find(|name| !fits(name)) {
        Some(wrong) => Err(ControlError::invalid(
            format!("`{}` is no model's name", wrong.escape_default()),
            format!("write 1 to {LONGEST_MODEL_NAME} characters without spaces, as requests do"),
        )),
        None => Ok(()),
    }
}
