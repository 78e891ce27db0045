//! Whole days of traffic in seconds, from one seed: the rules of calls against vendors, a disk and a machine that fail.
//!
//! A [`World`](world::World) is a queue of deeds on one virtual time line, with one seeded generator: no sockets, no threads, no
//! clock. In it live callers and their carrier (`carrier`, `tapes`), a voice provider (`provider`, `talk`), the business behind
//! the tools (`shop`), a disk that loses what was not synced (`disk`), and a gateway process that dies at any moment
//! and comes back (`process`, `doors`, `keeper`, `archive`), set up anew each day (`house`). What is proven is the product's own: [`crate::call::Call`] with
//! everything under it, its restoring, and the decisions of [`crate::call_control::order`]. What of the runner cannot
//! be had without tasks and sockets is mirrored in `keeper` and `doors`, and nowhere else.
//!
//! `law` watches: it knows nothing of how calls work, only what must hold. To show that it bites, a simulation can be
//! [`Broken`] on purpose; the product cannot.

mod archive;
mod carrier;
mod chance;
pub mod command;
mod disk;
mod doors;
mod house;
mod keeper;
mod law;
mod process;
mod provider;
mod shop;
mod story;
mod talk;
mod tapes;
mod terms;
mod weather;
mod world;

pub use law::{Tally, Violation};
pub use world::{Options, Outcome, run};

/// A rule that the simulated driver breaks on purpose, so that it is seen whether anybody notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Broken {
    /// A tool that may not run twice runs before its record is on disk.
    ToolBeforeRecord,
    /// A webhook is acknowledged before it is on disk.
    AckBeforeCommit,
    /// The model is told what a tool did that may not run twice before that is on disk.
    AnswerBeforeRecord,
    /// After a crash every unanswered tool runs again.
    ToolsAgain,
    /// After a crash the lines that were kept are not read back.
    LinesForgotten,
    /// After a crash nobody looks for the calls that were live.
    CallsForgotten,
    /// The disk says that it synced, and did not.
    DiskLies,
    /// What the provider reports at the end of a turn is taken in twice.
    UsageTwice,
    /// A call that is over still asks the model for a turn.
    AliveAfterEnd,
    /// The report of a recording is acknowledged before it is on disk.
    ReportBeforeRecord,
    /// A recording is said to be kept before its file is on disk.
    KeptBeforeFile,
    /// The carrier's copy of a recording is deleted before ours is said to be kept.
    CopyGoesEarly,
    /// After a crash nobody looks for the recordings that were to be fetched or deleted.
    RecordingsForgotten,
    /// The report of a recording that comes once more has it fetched once more.
    RecordingTwice,
    /// A call that is over does not give its place back.
    PlaceLeaked,
    /// The calls that an earlier process let in are not counted after a crash.
    PlacesForgotten,
    /// A process that hands over does not wait until what it wrote is on disk.
    LeavesUnsynced,
    /// After a handover nobody looks for the calls that were left.
    HandedToNobody,
    /// What comes for a bridged call that was left is taken in by the process that left it.
    LeftRevived,
    /// A caller is recorded who was not told.
    ToldNothing,
    /// After a crash a greeting that was on its way is not asked for again.
    GreetingForgotten,
    /// Calls are recorded that were not to be when they came in.
    RecordedAnyway,
    /// Who is one too many hears the fallback, whatever is configured.
    OverflowForgotten,
}
