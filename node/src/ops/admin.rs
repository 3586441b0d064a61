//! What the operator of an index asks of it.

use index::{IndexService, Recovery};

use crate::control::api::{PasswdDone, PasswdRequest, RecoveryStatus, RestoredFrom};
use crate::control::{ApiError, ApiResult, LocalCode};
use crate::peer::Shared;

impl Shared {
    /// How far the recovery is.
    pub(crate) async fn recovery(&self) -> ApiResult<RecoveryStatus> {
        Ok(status(self.need_index()?.recovery().await?))
    }

    /// Ends the recovery.
    pub(crate) async fn finish_recovery(&self) -> ApiResult<RecoveryStatus> {
        Ok(status(self.need_index()?.finish_recovery().await?))
    }

    /// Gives an account another password.
    pub(crate) async fn passwd(&self, request: PasswdRequest) -> ApiResult<PasswdDone> {
        let PasswdRequest { user, password } = request;
        let set = self.need_index()?.set_password(user.clone(), password.0).await;
        let hint = "an account that is not back yet comes with the first of its nodes that connects";
        set.map_err(|error| ApiError::from(error).not_found_hint(hint))?;
        Ok(PasswdDone { user })
    }

    fn need_index(&self) -> ApiResult<&IndexService> {
        let text = "this node is a peer, and not the index of its network";
        self.service.as_ref().ok_or_else(|| ApiError::new(LocalCode::NotTheIndex, text))
    }
}

fn status(recovery: Recovery) -> RecoveryStatus {
    let Recovery { active, began, ended, accounts, without_password, nodes, records, last } = recovery;
    let refused: &[&str] = if active { &["signup", "login"] } else { &[] };
    RecoveryStatus {
        recovering: active,
        began: began.map(Into::into),
        ended: ended.map(Into::into),
        accounts,
        without_password,
        nodes,
        records,
        last: last.map(|(node, time)| RestoredFrom { node, time: time.into() }),
        refused: refused.iter().map(|&word| word.to_owned()).collect(),
    }
}
