//! What can go wrong between us and the hub.

use std::error::Error;

use hf_hub::{HFError, RepoType};

/// Errors of the hub and of the way to it.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub wants to know who is asking, or does not let them.
    #[error(
        "{repository}: the hub refuses access ({status}{}). If the repository is gated, accept its \
         terms on https://huggingface.co/{page}, then set HF_TOKEN or run \
         `hf auth login`; without access the hub also answers like this for repositories that do \
         not exist", said(.message)
    )]
    Refused {
        /// The repository.
        repository: String,
        /// Its page, without the host.
        page: String,
        /// Status of the answer, 401 or 403.
        status: u16,
        /// The hub's words, if it had any.
        message: String,
    },
    /// A name or an address that cannot be one of the hub's.
    #[error("naming a repository: wanted {wanted}, got {got}")]
    Name {
        /// The form of names.
        wanted: &'static str,
        /// The name.
        got: String,
    },
    /// There is no such repository, revision, split or file.
    #[error("{repository}: wanted {wanted}, got {got}")]
    Missing {
        /// The repository.
        repository: String,
        /// What was looked for.
        wanted: String,
        /// What there is.
        got: String,
    },
    /// Nothing may be downloaded and it is not here.
    #[error("{repository}: {wanted} is not here yet, and the network may not be used (offline)")]
    Offline {
        /// The repository.
        repository: String,
        /// What was looked for.
        wanted: String,
    },
    /// A request or transfer failed, also when repeated.
    #[error("{repository}: {operation}: {reason}")]
    Transfer {
        /// The repository.
        repository: String,
        /// What was being done.
        operation: String,
        /// Why it failed.
        reason: String,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl HubError {
    /// What the hub's client says, by what a caller can do about it.
    pub(super) fn new<T: RepoType>(repository: &str, operation: &str, error: HFError) -> Self {
        let page = format!("{}{repository}", T::default().url_prefix());
        let repository = repository.to_string();
        match error {
            HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Http { context }
                if matches!(context.status.as_u16(), 401 | 403) =>
            {
                let message = context.server_message.unwrap_or_default();
                Self::Refused { repository, page, status: context.status.as_u16(), message }
            }
            HFError::RepoNotFound { .. }
            | HFError::RevisionNotFound { .. }
            | HFError::EntryNotFound { .. } => {
                Self::Missing { repository, wanted: operation.into(), got: error.to_string() }
            }
            _ => {
                let reason = with_causes(&error);
                Self::Transfer { repository, operation: operation.into(), reason }
            }
        }
    }
}

/// The message of an error and of those that led to it; a network library keeps the telling part
/// in the last one.
fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text += ": ";
            text += &message;
        }
        cause = error.source();
    }
    text
}
