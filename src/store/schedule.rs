//! Which derivation is made when: inputs first, and side by side what does not compete.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::derivation::How;
use super::{Derivation, StoreError, StorePath};

/// What a derivation's making waits for most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A mirror.
    Download,
    /// Every processor that there is. Compilers share a cache, too, and would do each other's work twice.
    Compile,
    /// The disk, one processor, or the network.
    Other,
}

/// How many workers a lane has. Four downloads hide the round trips to one mirror, which does not mind so many.
const WORKERS: [(Lane, usize); 3] = [(Lane::Download, 4), (Lane::Compile, 1), (Lane::Other, 1)];

impl Lane {
    fn of(derivation: &Derivation) -> Self {
        match &derivation.how {
            How::Fetch(_) => Self::Download,
            How::Build(builder) => builder.lane(),
        }
    }
}

/// What is still to be made.
struct Schedule {
    /// Not begun; inputs first.
    waiting: Vec<Arc<Derivation>>,
    /// Not done.
    unfinished: BTreeSet<StorePath>,
    failure: Option<StoreError>,
}

/// What a worker does next.
enum Next {
    Make(Arc<Derivation>),
    /// Inputs of everything in its lane are not done.
    Wait,
    /// Nothing more will come.
    Leave,
}

impl Schedule {
    fn new(missing: Vec<Arc<Derivation>>) -> Self {
        let unfinished = missing
            .iter()
            .map(|derivation| derivation.path().clone())
            .collect();
        Self {
            waiting: missing,
            unfinished,
            failure: None,
        }
    }

    fn next(&mut self, lane: Lane) -> Next {
        let mut own = (0..self.waiting.len())
            .filter(|&i| Lane::of(&self.waiting[i]) == lane)
            .peekable();
        if self.failure.is_some() || own.peek().is_none() {
            return Next::Leave;
        }
        let ready = |derivation: &Derivation| {
            derivation
                .inputs()
                .iter()
                .all(|input| !self.unfinished.contains(input.path()))
        };
        match own.find(|&i| ready(&self.waiting[i])) {
            Some(i) => Next::Make(self.waiting.remove(i)),
            None => Next::Wait,
        }
    }

    fn finish(&mut self, derivation: &Derivation, result: Result<(), StoreError>) {
        self.unfinished.remove(derivation.path());
        if let Err(error) = result {
            self.failure.get_or_insert(error);
        }
    }
}

/// Makes every derivation of `missing`, of which inputs stand before what needs them. Begins nothing more after a
/// failure, and returns the first one.
pub(super) fn run(
    missing: Vec<Arc<Derivation>>,
    make: impl Fn(&Derivation) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let schedule = Mutex::new(Schedule::new(missing));
    let changed = Condvar::new();
    let work = |lane| {
        let mut guard = lock(&schedule);
        loop {
            match guard.next(lane) {
                Next::Leave => return,
                Next::Wait => guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Next::Make(derivation) => {
                    drop(guard);
                    let result = make(&derivation);
                    guard = lock(&schedule);
                    guard.finish(&derivation, result);
                    changed.notify_all();
                }
            }
        }
    };
    thread::scope(|scope| {
        for (lane, workers) in WORKERS {
            (0..workers).for_each(|_| drop(scope.spawn(move || work(lane))));
        }
    });
    lock(&schedule).failure.take().map_or(Ok(()), Err)
}

fn lock(schedule: &Mutex<Schedule>) -> MutexGuard<'_, Schedule> {
    // Nothing in a schedule is half-changed while it is locked.
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::{Build, BuildError, Builder, Encoding};
    use super::*;

    #[derive(Debug)]
    struct Stub(Lane, Vec<Arc<Derivation>>);

    impl Builder for Stub {
        fn encode(&self, encoding: &mut Encoding) {
            encoding.text("stub/1");
        }

        fn inputs(&self) -> Vec<Arc<Derivation>> {
            self.1.clone()
        }

        fn lane(&self) -> Lane {
            self.0
        }

        fn build(&self, _: &Build<'_>) -> Result<(), BuildError> {
            Ok(())
        }
    }

    fn stub(name: &str, lane: Lane, inputs: &[&Arc<Derivation>]) -> Arc<Derivation> {
        Derivation::build(
            name,
            Stub(lane, inputs.iter().map(|input| Arc::clone(input)).collect()),
        )
        .unwrap()
    }

    /// Two chains that meet: sources, binary; tree; image of both.
    fn diamond() -> Vec<Arc<Derivation>> {
        let sources = stub("sources", Lane::Other, &[]);
        let binary = stub("binary", Lane::Compile, &[&sources]);
        let tree = stub("tree", Lane::Other, &[]);
        let image = stub("image", Lane::Other, &[&binary, &tree]);
        vec![sources, binary, tree, image]
    }

    #[test]
    fn inputs_are_made_first_and_lanes_run_side_by_side() {
        let made = Mutex::new(Vec::new());
        // The binary ends only after the tree has been made: it must not wait for the compiler.
        let tree_made = (Mutex::new(false), Condvar::new());
        run(diamond(), |derivation| {
            if derivation.name() == "binary" {
                let guard = tree_made.0.lock().unwrap();
                drop(tree_made.1.wait_while(guard, |made| !*made).unwrap());
            }
            made.lock().unwrap().push(derivation.name().to_owned());
            if derivation.name() == "tree" {
                *tree_made.0.lock().unwrap() = true;
                tree_made.1.notify_all();
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(
            made.into_inner().unwrap(),
            ["sources", "tree", "binary", "image"]
        );
    }

    #[test]
    fn after_a_failure_nothing_more_begins() {
        let made = Mutex::new(Vec::new());
        let error = run(diamond(), |derivation| {
            made.lock().unwrap().push(derivation.name().to_owned());
            let tool = StoreError::Tool {
                program: "p",
                found: "f".into(),
                mend: "m",
            };
            if derivation.name() == "sources" {
                Err(tool)
            } else {
                Ok(())
            }
        })
        .unwrap_err();
        assert!(matches!(error, StoreError::Tool { .. }));
        assert_eq!(made.into_inner().unwrap(), ["sources"]);
    }
}
