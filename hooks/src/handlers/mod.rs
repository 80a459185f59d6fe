//! What each handler answers.
//!
//! The handlers of fencing ([`fence`]) and those of a resync ([`resync`]) act. None changes DRBD's
//! state: what else is to be done about an answer is the agent's, or Pacemaker's.

mod loss;
mod resync;
mod split_brain;
mod udev;

use crate::fence;
use crate::finish::Call;
use crate::settings::Settings;
use two_node_ha_drbd::Handler;
use two_node_ha_fence::answer::{Answer, Level};

/// Answers a request.
pub fn answer(call: &Call, settings: &Settings) -> Answer {
    let request = &call.request;
    let action = settings.loss_action(&request.handler);
    match &request.handler {
        Handler::BeforeResyncTarget => resync::before_target(call, settings),
        Handler::BeforeResyncSource => resync::before_source(),
        Handler::AfterResyncTarget => resync::after_target(call, settings),
        Handler::FencePeer => fence::fence(call, settings),
        Handler::UnfencePeer => fence::unfence(call, settings),
        Handler::SplitBrain => split_brain::unresolved(),
        Handler::InitialSplitBrain => split_brain::initial(),
        Handler::LocalIoError => loss::local_io_error(action),
        Handler::PriLost => loss::primary_lost(action),
        Handler::PriLostAfterSb => loss::primary_lost_after_split_brain(action),
        Handler::PriOnInconDegr => loss::primary_without_data(action),
        Handler::OutOfSync => loss::out_of_sync(action),
        Handler::QuorumLost => loss::quorum(action),
        Handler::Disconnected => Answer::noted(Level::Notice, "a connection to the peer ended"),
        Handler::Udev => udev::uevent(request),
        Handler::Unrecognised(_) => Answer::noted(
            Level::Warning,
            "this version does not know the handler; answered 0, as if it were not configured",
        ),
    }
}
