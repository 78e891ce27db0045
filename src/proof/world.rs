//! The world: one time line of deeds, and everybody in it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::Broken;
use super::carrier::Phone;
use super::chance::Chance;
use super::disk::Disk;
use super::doors::{Answer, Door};
use super::house::House;
use super::law::{Law, Tally, Violation};
use super::process::Process;
use super::provider::Session;
use super::story::{DAWN, Story};
use super::tapes::Tape;
use super::weather::Weather;
use crate::clock::Timestamp;
use crate::ids::{CallId, RecordingId};
use crate::wire::join_token::JoinKey;

/// Something that will be done at its moment.
pub(super) type Deed = Box<dyn FnOnce(&mut World)>;

/// What a vendor does with the answer to its request.
pub(super) type Then = Box<dyn FnOnce(&mut World, Answer)>;

const DAY: Duration = Duration::from_secs(86_400);
/// Deeds of one day; more would be a world that does not come to rest.
const DEEDS_MAX: u64 = 5_000_000;

/// What is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything random comes from it.
    pub seed: u64,
    /// How many days.
    pub days: u32,
    /// How many callers a day.
    pub callers: u32,
    /// A rule that the driver breaks on purpose.
    pub broken: Option<Broken>,
    /// Writes down everything; costs more than the world itself.
    pub keeps_log: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What happened how often.
    pub tally: Tally,
    /// The first rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// Everything that happened, where it was written down.
    pub log: String,
}

pub(super) struct World {
    pub now: Timestamp,
    /// Dawn, where a moment of no date is wanted.
    zero: Instant,
    deeds: BTreeMap<(Timestamp, u64), Deed>,
    numbers: u64,
    pub chance: Chance,
    pub weather: Weather,
    pub house: House,
    pub disk: Disk,
    pub process: Option<Process>,
    /// Changes whenever a process comes or goes: what was begun before belongs to nobody.
    pub incarnation: u64,
    /// The next process gets the sockets of the last one, and who waits in them.
    pub is_handing_over: bool,
    pub backlog: Vec<(u64, Door)>,
    /// How far the gateway's clock is off, in microseconds.
    pub clock_off: i64,
    pub phones: BTreeMap<u32, Phone>,
    /// Callers who ring just when a gateway has started.
    pub impatient: Vec<u32>,
    pub sessions: BTreeMap<u32, Session>,
    /// Recordings at the carrier.
    pub tapes: BTreeMap<RecordingId, Tape>,
    pub calls: BTreeMap<CallId, u32>,
    pub requests: HashMap<u64, Then>,
    pub join_key: JoinKey,
    pub law: Law,
    pub story: Story,
    pub broken: Option<Broken>,
}

/// Plays the days of a seed, until a rule is broken.
pub fn run(options: &Options) -> Outcome {
    let mut world = World::new(options);
    let mut first_caller = 1;
    for day in 0..options.days {
        world.day(day, first_caller, options.callers);
        first_caller += options.callers;
        if world.law.violation.is_some() {
            break;
        }
    }
    let mut violation = world.law.violation.take();
    if let Some(violation) = &mut violation {
        violation.log = world.story.of(violation.caller).to_owned();
    }
    Outcome { tally: world.law.tally, violation, log: world.story.all }
}

impl World {
    fn new(options: &Options) -> World {
        let mut chance = Chance::seeded(options.seed);
        let house = House::of_day(&mut chance);
        let mut key = [0; 32];
        key[..8].copy_from_slice(&chance.next().to_be_bytes());
        World {
            now: DAWN,
            zero: Instant::now(),
            deeds: BTreeMap::new(),
            numbers: 1,
            chance,
            weather: Weather::default(),
            house,
            disk: Disk::default(),
            process: None,
            incarnation: 0,
            is_handing_over: false,
            backlog: Vec::new(),
            clock_off: 0,
            phones: BTreeMap::new(),
            impatient: Vec::new(),
            sessions: BTreeMap::new(),
            tapes: BTreeMap::new(),
            calls: BTreeMap::new(),
            requests: HashMap::new(),
            join_key: JoinKey::new(key),
            law: Law::default(),
            story: Story::new(options.keeps_log),
            broken: options.broken,
        }
    }

    /// Now, where a moment of no date is wanted.
    pub fn instant(&self) -> Instant {
        self.zero + self.now.since(DAWN)
    }

    /// A number that nobody else has.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn after(&mut self, span: Duration, deed: impl FnOnce(&mut World) + 'static) {
        self.at(self.now + span, deed);
    }

    pub fn at(&mut self, moment: Timestamp, deed: impl FnOnce(&mut World) + 'static) {
        let number = self.number();
        self.deeds.insert((moment.max(self.now), number), Box::new(deed));
    }

    /// One day, and the time that everything takes to come to rest.
    fn day(&mut self, day: u32, first_caller: u32, callers: u32) {
        let begins = DAWN + DAY * day;
        self.now = self.now.max(begins);
        self.weather = Weather::of_day(&mut self.chance);
        self.house = House::of_day(&mut self.chance);
        self.clock_off = 0;
        let name = self.weather.name;
        self.tell(0, || format!("a day of {name}"));
        self.start();
        self.plan(begins, first_caller, callers);
        let mut deeds = 0;
        while let Some(((moment, _), deed)) = self.deeds.pop_first() {
            self.now = moment;
            deed(self);
            deeds += 1;
            if self.law.violation.is_some() {
                return;
            }
            if self.chance.below(1_000_000) < u64::from(self.weather.crash) {
                self.crash();
            }
            if deeds > DEEDS_MAX {
                return self.law.broken(self.now, 0, "the world does not come to rest".to_owned());
            }
        }
        self.law.tally.days += 1;
        self.law.tally.deeds += deeds;
        self.law_end_of_day();
        if self.law.violation.is_some() {
            return;
        }
        self.phones.clear();
        self.sessions.clear();
        self.tapes.clear();
        self.calls.clear();
        self.disk.clear();
        self.story.forget_callers();
    }

    /// Callers come in hours that are busy and hours that are not, until nine in the evening.
    fn plan(&mut self, begins: Timestamp, first_caller: u32, callers: u32) {
        let rush: Vec<u64> = (0..4).map(|_| self.chance.between(6, 20) * 3_600).collect();
        let impatient = callers / 8;
        self.impatient = (first_caller..first_caller + impatient).collect();
        for caller in first_caller + impatient..first_caller + callers {
            let second = match self.chance.permille(700) {
                true => self.chance.pick(&rush) + self.chance.below(600),
                false => self.chance.between(0, 21 * 3_600),
            };
            let moment = begins + Duration::from_secs(second) + self.chance.millis(0, 999);
            self.at(moment, move |world| world.ring(caller));
        }
        for _ in 0..self.weather.drains {
            let second = self.chance.pick(&rush) + self.chance.below(700);
            self.at(begins + Duration::from_secs(second), World::stop);
        }
        for _ in 0..self.chance.below(3) {
            let second = self.chance.pick(&rush) + self.chance.below(700);
            self.at(begins + Duration::from_secs(second), |world| world.house.records = !world.house.records);
        }
        for _ in 0..self.weather.handovers {
            let second = self.chance.pick(&rush) + self.chance.below(700);
            self.at(begins + Duration::from_secs(second), World::hand_over);
        }
        for _ in 0..self.weather.disk_full {
            let second = self.chance.pick(&rush) + self.chance.below(500);
            self.at(begins + Duration::from_secs(second), |world| {
                world.disk.is_full = true;
                world.tell(0, || "the disk is full".to_owned());
                let lasts = world.chance.seconds(5, 240);
                world.after(lasts, |world| {
                    world.disk.is_full = false;
                    world.tell(0, || "the disk has room again".to_owned());
                });
            });
        }
        for _ in 0..self.weather.disk_fails {
            let second = self.chance.pick(&rush) + self.chance.below(500);
            self.at(begins + Duration::from_secs(second), |world| {
                world.disk.is_poisoned = world.process.is_some();
                world.tell(0, || "a write fails: nothing is kept any more".to_owned());
                let notices = world.chance.seconds(5, 60);
                world.after(notices, World::crash);
            });
        }
        for _ in 0..self.weather.clock_jumps {
            let second = self.chance.pick(&rush) + self.chance.below(700);
            self.at(begins + Duration::from_secs(second), |world| {
                let far = i64::try_from(world.chance.between(0, 600_000_000)).unwrap_or_default();
                world.clock_off = far - 300_000_000;
                world.law.clock_jumped = true;
                world.tell(0, || "the gateway's clock jumps".to_owned());
            });
        }
    }
}
