//! Who is told by mail what came of a look. Each gets one mail of it, however much it is, with a bound: the mails that wait are few, and a
//! rule that suddenly holds of a thousand keys must not keep invitations from being sent.

use std::collections::{BTreeMap, HashMap};

use keyward_core::{
    alert::{AlertRule, MailTo},
    id::{OrganizationId, UserId},
    member::{Email, Right},
    time::Timestamp,
};
use keyward_store::{Store, StoreError};

use crate::mail::{AlertTold, Mail, Mailer};

/// Of one rule, so many people are told.
const MOST_TOLD: usize = 20;
/// What a mail has room for.
const MOST_IN_ONE: usize = 50;

/// Somebody who may be told.
#[derive(Clone)]
struct Reader {
    id: UserId,
    email: Email,
    /// Whether they see to alert rules.
    administers: bool,
}

#[derive(Default)]
struct Letter {
    told: Vec<AlertTold>,
    more: usize,
}

/// What is to be told after a look.
#[derive(Default)]
pub(super) struct Letters {
    letters: BTreeMap<Email, Letter>,
    /// Who there is to be told of rules; without an organization, who runs this Keyward.
    readers: HashMap<Option<OrganizationId>, Vec<Reader>>,
    names: HashMap<OrganizationId, String>,
}

impl Letters {
    /// A rule holds of something in the organization, or no longer.
    pub(super) async fn tell(
        &mut self,
        store: &dyn Store,
        rule: &AlertRule,
        organization: &OrganizationId,
        (message, over): (&str, bool),
    ) -> Result<(), StoreError> {
        if rule.channel.mail == MailTo::Nobody {
            return Ok(());
        }
        let name = self.name(store, organization).await?;
        let readers = self.readers(store, rule.organization.as_ref()).await?.iter();
        let named = readers.filter(|reader| match &rule.channel.mail {
            MailTo::Nobody => false,
            MailTo::Administrators => reader.administers,
            MailTo::Members(named) => named.contains(&reader.id),
        });
        let to: Vec<Email> = named.map(|reader| reader.email.clone()).take(MOST_TOLD).collect();
        for to in to {
            let letter = self.letters.entry(to).or_default();
            if letter.told.len() >= MOST_IN_ONE {
                letter.more += 1;
                continue;
            }
            letter.told.push(AlertTold {
                rule: rule.name.clone(),
                organization: name.clone(),
                message: message.to_owned(),
                over,
            });
        }
        Ok(())
    }

    async fn readers(
        &mut self,
        store: &dyn Store,
        organization: Option<&OrganizationId>,
    ) -> Result<&[Reader], StoreError> {
        let of = organization.cloned();
        if !self.readers.contains_key(&of) {
            let readers = match organization {
                Some(organization) => {
                    let members = store.members(organization).await?.into_iter();
                    let reader = members.map(|(user, place)| Reader {
                        id: user.id,
                        email: user.email,
                        administers: place.role.has(Right::WriteAlerts),
                    });
                    reader.collect()
                }
                None => {
                    let operators = store.operators().await?.into_iter();
                    let reader = operators.map(|user| Reader {
                        id: user.id,
                        email: user.email,
                        administers: true,
                    });
                    reader.collect()
                }
            };
            self.readers.insert(of.clone(), readers);
        }
        Ok(self.readers.get(&of).map_or(&[], Vec::as_slice))
    }

    async fn name(
        &mut self,
        store: &dyn Store,
        organization: &OrganizationId,
    ) -> Result<String, StoreError> {
        if let Some(name) = self.names.get(organization) {
            return Ok(name.clone());
        }
        let name = store.organization(organization).await?.map(|one| one.name).unwrap_or_default();
        self.names.insert(organization.clone(), name.clone());
        Ok(name)
    }

    /// Sends what there is.
    pub(super) fn send(self, mailer: &Mailer, now: Timestamp) {
        for (to, Letter { told, more }) in self.letters {
            mailer.send(&to, &Mail::Alerts { told, more }, now);
        }
    }
}
