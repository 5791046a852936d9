//! `keyward sessions …`

use clap::Subcommand;
use http::Method;
use keyward_api::{Page, SessionView};
use keyward_core::id::SessionId;

use crate::{
    backend::Place,
    output::{Output, table},
};

#[derive(Debug, Subcommand)]
pub(super) enum Sessions {
    /// List where one is logged in, newest first
    List,
    /// End one of one's own sessions, from afar; `keyward logout` ends the one in use
    End {
        /// The session's id
        id: SessionId,
    },
}

impl Sessions {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let client = place.server().await?.client;
        match self {
            Self::List => {
                let all = Page::whole(client.list("/v1/sessions").await?);
                output.show(&all, |page| listed(&page.items))
            }
            Self::End { id } => {
                let path = format!("/v1/sessions/{id}");
                client.tell(Method::DELETE, &path, None::<&()>).await?;
                output.done(&format!("{id} has ended."))
            }
        }
    }
}

fn listed(sessions: &[SessionView]) -> String {
    let row = |session: &SessionView| {
        vec![
            session.id.clone(),
            session.device.clone(),
            session.begun_from.clone(),
            session.created_at.clone(),
            session.last_used_at.clone().unwrap_or_else(|| "never".to_owned()),
            session.expires_at.clone(),
            if session.current { "this one" } else { "" }.to_owned(),
        ]
    };
    table(
        &["id", "device", "from", "begun", "last used", "expires", "current"],
        sessions.iter().map(row).collect(),
        "No sessions.",
    )
}
