//! Errors of the Hugging Face hub.

use std::error::Error;

use hf_hub::{HFError, RepoType};

/// Error of the hub or of the connection to it.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub asks for a log-in, or denies access.
    #[error(
        "{repository}: the hub refuses access ({status}{}). If the repository is gated, accept its \
         terms on https://huggingface.co/{page}, then set HF_TOKEN or run \
         `hf auth login`; without access the hub also answers like this for repositories that do \
         not exist", said(.message)
    )]
    Refused {
        /// The repository.
        repository: String,
        /// Path of its page, without the host.
        page: String,
        /// HTTP status, 401 or 403.
        status: u16,
        /// Message of the hub; may be empty.
        message: String,
    },
    /// A name or an address does not have the hub's form.
    #[error("naming a repository: expected {wanted}, found {got}")]
    Name {
        /// The form of names.
        wanted: &'static str,
        /// The name.
        got: String,
    },
    /// The repository, revision, split or file does not exist.
    #[error("{repository}: expected {wanted}, found {got}")]
    Missing {
        /// The repository.
        repository: String,
        /// Item that was looked for.
        wanted: String,
        /// Items that exist.
        got: String,
    },
    /// A file is not in the cache and the options forbid the network.
    #[error("{repository}: {wanted} is not here yet, and the network may not be used (offline)")]
    Offline {
        /// The repository.
        repository: String,
        /// Item that was looked for.
        wanted: String,
    },
    /// A request or transfer failed, retries included.
    #[error("{repository}: {operation}: {reason}")]
    Transfer {
        /// The repository.
        repository: String,
        /// Operation that failed.
        operation: String,
        /// Cause of the failure.
        reason: String,
    },
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl HubError {
    /// Converts an error of the hub's client, grouped by what a caller can do about it.
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

/// Returns the messages of an error and of its causes, because a network library keeps the useful
/// part in the last one.
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
