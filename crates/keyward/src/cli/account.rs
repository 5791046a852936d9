//! `keyward account …`, `keyward whoami`

use clap::Subcommand;
use http::Method;
use keyward_api::{AccountView, SetPasswordInput};

use super::secret_input;
use crate::{
    backend::Place,
    output::{Output, facts},
};

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Show oneself, and the organizations one belongs to
    Show,
    /// Change one's password. All other sessions end
    Password,
}

impl Account {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Show => show(place, output).await,
            Self::Password => password(place, output).await,
        }
    }
}

pub(super) async fn show(place: &Place, output: Output) -> anyhow::Result<()> {
    let remote = place.server().await?;
    let account: AccountView = remote.client.get("/v1/account", &()).await?;
    output.show(&account, |account| {
        let server = remote.client.server();
        let login = match &remote.login {
            Some(name) => format!("{server}, login `{name}`"),
            None => server.to_string(),
        };
        facts(&[known(account).as_slice(), &[("server", login)]].concat())
    })
}

async fn password(place: &Place, output: Output) -> anyhow::Result<()> {
    let client = place.server().await?.client;
    let old = secret_input::asked("password until now")?;
    let new = secret_input::new_password()?;
    let input = SetPasswordInput { old: old.expose().to_owned(), new: new.expose().to_owned() };
    client.tell(Method::PUT, "/v1/account/password", Some(&input)).await?;
    output.done("The password is changed, and all other sessions have ended.")
}

pub(super) fn shown(account: &AccountView) -> String {
    facts(&known(account))
}

fn known(account: &AccountView) -> [(&'static str, String); 4] {
    let places: Vec<_> = account
        .places
        .iter()
        .map(|place| format!("{} ({})", place.organization_id, place.role))
        .collect();
    let operator = if account.user.operator { ", operator" } else { "" };
    [
        ("person", format!("{}{operator}", account.user.id)),
        ("email", account.user.email.clone()),
        ("name", account.user.name.clone()),
        ("organizations", if places.is_empty() { "none".to_owned() } else { places.join(", ") }),
    ]
}
