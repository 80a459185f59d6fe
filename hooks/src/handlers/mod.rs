//! What each handler answers.
//!
//! The handlers of fencing ([`fence`]) and those of a resync ([`resync`]) act. In this version each
//! of the others observes, records and answers what is neutral to DRBD. Which of them will act, and
//! how, is said where they are.

mod loss;
mod resync;
mod split_brain;
mod udev;

use crate::answer::{Answer, Level};
use crate::fence;
use crate::finish::Call;
use crate::handler::Handler;
use crate::settings::Settings;

/// Answers a request.
pub fn answer(call: &Call, settings: &Settings) -> Answer {
    let request = &call.request;
    match &request.handler {
        Handler::BeforeResyncTarget => resync::before_target(call, settings),
        Handler::BeforeResyncSource => resync::before_source(),
        Handler::AfterResyncTarget => resync::after_target(call, settings),
        Handler::FencePeer => fence::fence(call, settings),
        Handler::UnfencePeer => fence::unfence(call, settings),
        Handler::SplitBrain => split_brain::unresolved(settings.resource_of(request).as_deref()),
        Handler::InitialSplitBrain => split_brain::initial(),
        Handler::LocalIoError => loss::local_io_error(),
        Handler::PriLost => loss::primary_lost(),
        Handler::PriLostAfterSb => loss::primary_lost_after_split_brain(),
        Handler::PriOnInconDegr => loss::primary_without_data(),
        Handler::OutOfSync => loss::out_of_sync(),
        Handler::QuorumLost => loss::quorum(),
        Handler::Disconnected => Answer::noted(Level::Notice, "a connection to the peer ended"),
        Handler::Udev => udev::uevent(request),
        Handler::Unknown(_) => Answer::noted(
            Level::Warning,
            "this version does not know the handler; answered 0, as if it were not configured",
        ),
    }
}
