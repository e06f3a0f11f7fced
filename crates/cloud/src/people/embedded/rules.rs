//! The rights of people, as hooks of the broker.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use rmqtt::codec::v5::{PublishAckReason, SubscribeAckReason};
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType};
use rmqtt::types::{
    AuthResult, ClientId, ConnectInfo, From as Sender, FromType, Id, LastWill, Publish, PublishAclResult,
    PublishResult, SubscribeAclResult,
};

use crate::people::login::Secret;
use crate::people::own::{Place, Said, Tree};
use crate::people::rights::{self, Publishing, Refusal};
use crate::people::{Commands, ToDevice};

/// Who may do what.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) secret: Secret,
    pub(super) commands: Arc<Commands>,
    pub(super) tree: Arc<OnceLock<Arc<Tree>>>,
}

#[async_trait]
impl Handler for Rules {
    async fn hook(&self, parameter: &Parameter, so_far: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::ClientAuthenticate(connect) => {
                (false, Some(HookResult::AuthResult(self.login(connect))))
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                match rights::subscribing(&subscribe.topic_filter) {
                    Ok(()) => (true, so_far),
                    Err(refusal) => {
                        let filter = &*subscribe.topic_filter;
                        tracing::info!(user = user(&session.id), filter, %refusal, "a subscription is refused");
                        let refused = SubscribeAclResult::new_failure(SubscribeAckReason::NotAuthorized);
                        (false, Some(HookResult::SubscribeAclResult(refused)))
                    }
                }
            }
            Parameter::MessagePublish(_, sender, publish) => match self.take(sender, publish) {
                Some(taken) => (false, Some(HookResult::Publish(taken))),
                None => (true, so_far),
            },
            Parameter::MessagePublishCheckAcl(session, publish) => match self.refusal(publish) {
                Some((reason, why)) => {
                    tracing::info!(
                        user = user(&session.id),
                        topic = &*publish.topic,
                        why,
                        "a message is refused"
                    );
                    let refused = PublishResult::reason_code(reason, Some(why.into()), false);
                    (false, Some(HookResult::PublishAclResult(PublishAclResult(refused))))
                }
                None => (false, Some(HookResult::PublishAclResult(PublishAclResult::allow()))),
            },
            _ => (true, so_far),
        }
    }
}

impl Rules {
    /// Only our own hops know the secret. A will is published without a further question, so it is looked at here.
    fn login(&self, connect: &ConnectInfo) -> AuthResult {
        let known = connect.password().is_some_and(|given| self.secret.is(given));
        if !known || connect.username().is_none() {
            tracing::warn!(from = ?connect.ipaddress(), "the embedded broker's own port refuses a stranger");
            return AuthResult::NotAuthorized;
        }
        let will = connect.last_will().map(|will| match will {
            LastWill::V3(will) => &will.topic,
            LastWill::V5(will) => &will.topic,
        });
        if let Some(Fate::Refused(refusal)) = will.map(|topic| self.publishing(topic)) {
            tracing::info!(user = user(connect.id()), %refusal, "a login with a will for a forbidden topic is refused");
            return AuthResult::NotAuthorized;
        }
        AuthResult::Allow(false, None)
    }

    /// What becomes of a message under this topic, this process's own tree included.
    fn publishing(&self, topic: &str) -> Fate {
        match rights::publishing(topic) {
            Publishing::ToDevice(device) => Fate::ToDevice(device),
            Publishing::Refused(refusal) => Fate::Refused(refusal),
            Publishing::Free => match self.tree.get().map(|tree| (tree, tree.place(topic))) {
                Some((tree, Place::Heard)) => Fate::ToUs(Arc::clone(tree)),
                Some((_, Place::Closed)) => Fate::Refused(Refusal::ForUs),
                Some((_, Place::Elsewhere)) | None => Fate::Free,
            },
        }
    }

    /// Takes what is for a device or for us, and returns it as a message that reaches nobody else. `None`: it is neither, or
    /// too much waits, which [`Self::refusal`] tells the client.
    fn take(&self, sender: &Sender, publish: &Publish) -> Option<Publish> {
        let last_will = matches!(sender.typ(), FromType::LastWill);
        let taken = match self.publishing(&publish.topic) {
            Fate::ToDevice(device) => {
                self.commands.send(ToDevice { device, payload: publish.payload.clone() }).is_ok()
            }
            Fate::ToUs(tree) => tree.hear(Said {
                topic: publish.topic.to_string(),
                payload: publish.payload.clone(),
                retain: publish.retain,
            }),
            Fate::Refused(_) => false,
            Fate::Free => {
                if let Some(tree) = self.tree.get().filter(|tree| tree.overhears(&publish.topic)) {
                    // It goes its way, heard here or not: what finds no room is counted there.
                    let _heard = tree.hear(Said {
                        topic: publish.topic.to_string(),
                        payload: publish.payload.clone(),
                        retain: publish.retain,
                    });
                }
                return None;
            }
        };
        // Nobody is asked again before a will is published: it must not get further, taken or not.
        (taken || last_will).then(|| {
            // No client has an empty id: the broker gives a name to those that bring none.
            let mut taken = publish.clone().target_clientid(ClientId::default());
            taken.retain = false;
            taken
        })
    }

    /// Why a message is not published, after [`Self::take`] has seen it.
    fn refusal(&self, publish: &Publish) -> Option<(PublishAckReason, &'static str)> {
        if publish.target_clientid.is_some() {
            return None;
        }
        match self.publishing(&publish.topic) {
            Fate::Free => None,
            Fate::ToDevice(_) | Fate::ToUs(_) => {
                Some((PublishAckReason::QuotaExceeded, "too many commands wait for their devices"))
            }
            Fate::Refused(_) => {
                Some((PublishAckReason::NotAuthorized, "people's clients may not publish there"))
            }
        }
    }
}

/// What becomes of a message.
enum Fate {
    /// For a device.
    ToDevice(landfall_proto::id::DeviceId),
    /// For this process.
    ToUs(Arc<Tree>),
    /// For whoever subscribed.
    Free,
    /// Refused.
    Refused(Refusal),
}

fn user(id: &Id) -> &str {
    id.username.as_deref().unwrap_or("")
}
